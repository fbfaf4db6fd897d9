"""The cache: whole documents or none, the newest, never an expired one, whoever dies while writing."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.sev_snp import ForgedAmd
from tests.support.processes import StartChild, child_processes
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import BadDocument, inspect
from verifier.adapters.collateral.items import Item, item, item_of
from verifier.formats.errors import CannotDecide
from verifier.tee.scheme import Need

NOW = 1_795_000_000
SNP_CRL = "sev-snp.crl"
VCEK = "sev-snp.vcek"
CHIP = ForgedAmd(now=NOW)
DAY = 86_400


def made(kind: str, key: str) -> Item:
    found = item(kind, key)
    assert found is not None
    return found


CRL = made(SNP_CRL, "Milan")


def entry(of: Item, body: bytes, *, fetched: int = NOW) -> Entry:
    return Entry(of, body, b"", "test", fetched, inspect(of, body))


def crl(number: int, **changes: object) -> Entry:
    return entry(CRL, CHIP.crl(number=number, **changes))


def vcek(chip: ForgedAmd, *, fetched: int = NOW) -> Entry:
    return entry(made(VCEK, f"{chip.product}-{chip.hwid.hex()}-{chip.tcb.hex()}"), chip.vek(), fetched=fetched)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def start() -> Iterator[StartChild]:
    with child_processes() as starter:
        yield starter


def test_what_is_kept_comes_back_in_another_process_too(cache: Cache) -> None:
    kept = crl(5)
    assert cache.put(kept, NOW) == "stored"

    assert cache.get(CRL, NOW) == kept
    assert Cache(cache.folder).get(CRL, NOW) == kept
    assert cache.put(kept, NOW) == "same"


def test_only_this_user_can_read_it(cache: Cache) -> None:
    cache.put(crl(5), NOW)

    for path in (cache.folder, *cache.folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_the_newest_list_wins_whichever_comes_last(cache: Cache) -> None:
    newer = crl(6)
    cache.put(newer, NOW)

    assert cache.put(crl(5), NOW) == "older"
    assert cache.get(CRL, NOW) == newer


def test_a_document_is_used_to_its_last_second_and_never_after(cache: Cache) -> None:
    kept = crl(5)
    cache.put(kept, NOW)

    assert cache.get(CRL, kept.facts.expires) == kept
    assert cache.get(CRL, kept.facts.expires + 1) is None
    assert cache.put(crl(6), kept.facts.expires + 1) == "expired"
    # An older number that is in force beats a newer one that is not: what counts then is the mark.
    fresh = entry(CRL, CHIP.crl(number=4, validity=(NOW, NOW + 60 * DAY)))
    assert cache.put(fresh, kept.facts.expires + 1) == "stored"


def test_a_file_that_is_broken_counts_as_none_and_is_cleared_away(cache: Cache) -> None:
    cache.put(crl(5), NOW)
    path = cache.path(CRL)
    whole = path.read_bytes()
    for broken in (
        b"",
        b"{}",
        b"[]",
        whole[:-20],
        whole.replace(b'"fetched": 1', b'"fetched": "x'),
        b"\xff" * 100,
        b"[" * 9999,
    ):
        path.write_bytes(broken)
        assert cache.read(CRL) is None
        assert Cache(cache.folder).read(CRL) is None
    cache.trim(NOW)
    assert not path.exists()


def test_a_document_under_another_name_is_not_taken_for_it(cache: Cache) -> None:
    genoa = ForgedAmd("Genoa", now=NOW)
    cache.put(crl(5), NOW)
    cache.put(entry(made(SNP_CRL, "Genoa"), genoa.crl()), NOW)
    cache.path(made(SNP_CRL, "Genoa")).replace(cache.path(CRL))

    assert cache.read(CRL) is None


@pytest.mark.parametrize("wrong", ["product", "chip", "tcb", "vlek", "garbage", "empty"])
def test_a_certificate_of_another_chip_product_or_tcb_is_refused(wrong: str) -> None:
    other = {
        "product": ForgedAmd("Genoa", now=NOW),
        "chip": ForgedAmd(now=NOW, seed=b"another"),
        "tcb": ForgedAmd(now=NOW, tcb={"bl": 3, "tee": 0, "snp": 24, "ucode": 219}),
        "vlek": ForgedAmd(now=NOW, csp_id="CN=example"),
    }
    body = other[wrong].vek() if wrong in other else b"<html>" * (wrong == "garbage")

    with pytest.raises(BadDocument):
        inspect(vcek(CHIP).item, body)


def test_over_its_size_strangers_go_before_listed_chips_and_what_all_need_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit=8_000)
    chips = [ForgedAmd(now=NOW, seed=b"%d" % number) for number in range(8)]
    for number, chip in enumerate(chips):
        cache.put(vcek(chip, fetched=NOW + number), NOW)
    cache.put(crl(1), NOW)
    assert cache.trim(NOW, frozenset({chips[0].hwid.hex()})) > 0

    kept = {one.item for one in cache.entries()}
    assert CRL in kept
    assert vcek(chips[0]).item in kept
    assert vcek(chips[7]).item in kept
    assert vcek(chips[1]).item not in kept
    assert sum(path.stat().st_size for path in cache.folder.rglob("*.json")) <= 8_000


def test_without_a_time_that_is_believed_nothing_goes_because_it_has_expired(cache: Cache) -> None:
    kept = vcek(ForgedAmd("Milan", now=NOW), fetched=NOW)
    cache.put(kept, NOW)
    assert cache.trim(None) == 0
    assert cache.trim(kept.facts.expires + 1) == 1


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new_document(cache: Cache, start: StartChild) -> None:
    lists = [crl(number) for number in range(1, 40)]
    cache.put(lists[0], NOW)
    seen = 0
    for moment in (0.001, 0.003, 0.006, 0.01, 0.015, 0.02):

        def write() -> None:
            print("writing")  # noqa: T201 - the parent waits for it
            while True:
                for one in lists:
                    Cache(cache.folder)._write(one)

        child = start(write)
        child.output.readline()
        time.sleep(moment)
        child.kill()
        child.finish()
        found = Cache(cache.folder).get(CRL, NOW)
        assert found in lists
        seen += 1
    cache.trim(NOW)
    assert seen == 6
    assert [path.name for path in cache.path(CRL).parent.iterdir()] == ["Milan.json"]
    assert cache.put(crl(99), NOW) == "stored"  # the lock of the dead is nobody's


@pytest.mark.slow
def test_readers_see_whole_documents_while_several_write(cache: Cache) -> None:
    lists = [crl(number) for number in range(1, 30)]
    cache.put(lists[0], NOW)
    stop, seen = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            seen.append(cache.get(CRL, NOW))

    readers = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=lambda: [cache.put(one, NOW) for one in lists]) for _ in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()

    assert all(one in lists for one in seen)
    assert cache.get(CRL, NOW) == lists[-1]


def test_a_folder_that_cannot_be_written_cannot_be_decided_with(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(CannotDecide) as caught:
        Cache(tmp_path / "file" / "cache").put(crl(1), NOW)
    assert caught.value.check_id == "service.collateral.cache"


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (SNP_CRL, "../Milan"),
        (SNP_CRL, "Milan\n"),
        (SNP_CRL, "Rome"),
        (VCEK, f"Milan-{'0' * 127}A-{'0' * 16}"),
        (VCEK, f"Milan-{'0' * 128}-{'0' * 16}"),
        (VCEK, f"Turin-{'0' * 15}1{'0' * 111}1-{'0' * 16}"),
        (VCEK, "Milan"),
        ("sev-snp.vlek", f"Milan-vlek-{'0' * 16}"),
        ("tpm2.ak", "000b" + "00" * 32),
        ("intel.tcb-info", "tdx-00806f050000"),
        ("intel.tcb-info-chain", "tdx-../../../../"),
        ("intel.pck-crl-chain", "platform"),
    ],
)
def test_a_key_of_another_form_is_never_looked_for(kind: str, key: str) -> None:
    assert item_of(Need("x", kind, key)) is None


def test_a_turin_is_known_by_its_eight_bytes() -> None:
    chip = ForgedAmd("Turin", now=NOW)
    need = Need("vcek", VCEK, f"Turin-{chip.hwid.hex()}{'0' * 112}-{chip.tcb.hex()}")

    found = item_of(need)
    assert found is not None
    assert found[0] == vcek(chip).item
    assert os.sep not in found[0].key
