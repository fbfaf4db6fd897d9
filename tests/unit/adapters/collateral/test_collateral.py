"""Collateral from a folder: never an older CRL than was ever used, never a file outside the folder, always the newest bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest

from forge.certificates import forge_crl, subject_key_id
from forge.sev_snp import ForgedAmd
from forge.tpm2 import make_tpm
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import SqlStore
from verifier.core.ports import EnrolledAk
from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Need
from verifier.tee.tpm2.collateral import AK_KIND, decode_enrolled_ak
from verifier.tee.tpm2.layout import name_of

NOW = 1_795_000_000
CHIP = ForgedAmd(now=NOW)
GENOA = ForgedAmd("Genoa", now=NOW)
ANCHORS = {"sev-snp": tuple(Anchor(chip.product, chip.ark(), "simulated") for chip in (CHIP, GENOA))}
CRL = Need(name="crl", kind="sev-snp.crl", key="Milan")
VEK = Need(name="vcek", kind="sev-snp.vcek", key="00ff", required=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "endorsements" / "sev-snp" / "crl"
    made.mkdir(parents=True)
    return made


def of_folder(store: SqlStore, folder: str, anchors: Mapping[str, tuple[Anchor, ...]] = ANCHORS) -> Collateral:
    """A folder and the store's enrolled keys, nothing else: no cache, no network."""
    return Collateral(store, anchors, SystemClock(), folder=folder)


@pytest.fixture
def source(store: SqlStore, folder: Path) -> Collateral:
    return of_folder(store, str(folder.parents[1]))


def put(path: Path, data: bytes) -> None:
    """Put a file in place as an operator should: beside it, then renamed."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(data)
    fresh.replace(path)


@lru_cache
def made(number: int, *revoked: int) -> bytes:
    """Forge a CRL of Milan's, once: signatures are drawn anew each time."""
    return CHIP.crl(number=number, revoked=revoked)


def crl(source: Collateral, need: Need = CRL) -> bytes:
    return source.get("sev-snp", "default", [need])[need.name]


def undecided(source: Collateral, need: Need = CRL) -> CannotDecide:
    with pytest.raises(CannotDecide) as caught:
        crl(source, need)
    assert caught.value.check_id == f"sev-snp.endorsement.{need.name}"
    return caught.value


def test_a_required_need_that_is_nowhere_cannot_be_decided_and_says_where_it_should_be(
    source: Collateral,
) -> None:
    error = undecided(source)

    assert "sev-snp/crl/Milan.der" in error.detail
    assert error.retry_after > 0


def test_an_optional_need_that_is_nowhere_is_left_out(source: Collateral) -> None:
    assert source.get("sev-snp", "default", [VEK]) == {}


@pytest.mark.parametrize("suffix", ["der", "pem"])
def test_a_file_is_answered_as_it_stands(source: Collateral, folder: Path, suffix: str) -> None:
    put(folder / f"Milan.{suffix}", made(5))

    assert crl(source) == made(5)


def test_a_replaced_file_is_read_again_and_an_unchanged_one_is_not(
    source: Collateral, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[Path] = []
    really = Path.read_bytes

    def read(path: Path) -> bytes:
        reads.append(path)
        return really(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    put(folder / "Milan.der", made(5))
    assert crl(source) == crl(source) == made(5)
    assert len(reads) == 1

    put(folder / "Milan.der", made(6))
    assert crl(source) == made(6)
    assert len(reads) == 2


def test_an_older_crl_than_was_ever_used_is_not_used(source: Collateral, folder: Path, store: SqlStore) -> None:
    put(folder / "Milan.der", made(6))
    crl(source)

    put(folder / "Milan.der", made(5))
    assert "got 5" in undecided(source).detail
    # The mark is the store's: another process, or this one after a restart, knows it too.
    again = of_folder(store, str(folder.parents[1]))
    assert "got 5" in undecided(again).detail

    put(folder / "Milan.der", made(6, 1))
    assert crl(source) == made(6, 1)


def test_marks_are_kept_for_each_issuer(source: Collateral, folder: Path) -> None:
    put(folder / "Milan.der", made(9))
    lower = GENOA.crl(number=2)
    put(folder / "Genoa.der", lower)
    crl(source)

    assert crl(source, replace(CRL, key="Genoa")) == lower


def test_a_crl_that_no_anchor_signed_moves_no_mark(source: Collateral, folder: Path) -> None:
    """One file with a huge number must not block its issuer for good; the scheme refuses it by its signature."""
    huge = (1 << 159) - 1
    for forged in (
        CHIP.crl(number=huge)[:-1] + b"\0",
        CHIP.crl(number=huge, signer=CHIP.signer("ask")),
        CHIP.crl(number=huge, issuer=GENOA.ark_name),
    ):
        put(folder / "Milan.der", forged)
        assert crl(source) == forged

    put(folder / "Milan.der", made(5))
    assert crl(source) == made(5)


def test_another_issuers_list_in_the_wrong_place_moves_no_mark_but_its_own(source: Collateral, folder: Path) -> None:
    put(folder / "Milan.der", GENOA.crl(number=9))
    crl(source)

    put(folder / "Milan.der", made(5))
    assert crl(source) == made(5)
    put(folder / "Genoa.der", GENOA.crl(number=8))
    assert "got 8" in undecided(source, replace(CRL, key="Genoa")).detail


def test_an_anchors_list_counts_for_its_own_scheme_only(store: SqlStore, folder: Path) -> None:
    bare = of_folder(store, str(folder.parents[1]), {"tpm2": ANCHORS["sev-snp"]})
    for number in (6, 5):
        put(folder / "Milan.der", made(number))
        assert crl(bare) == made(number)


@pytest.mark.parametrize("number", [0, (1 << 159) - 1])
def test_crl_numbers_of_every_lawful_size_are_understood(source: Collateral, folder: Path, number: int) -> None:
    put(folder / "Milan.der", made(number))

    assert crl(source) == made(number)


@pytest.mark.parametrize("number", [-1, 1 << 160, 1 << 300])
def test_a_crl_number_that_is_none_cannot_be_decided(source: Collateral, folder: Path, number: int) -> None:
    put(folder / "Milan.der", made(number))

    assert "CRL number" in undecided(source).detail


def test_a_crl_without_a_number_cannot_be_held_to_a_mark(source: Collateral, folder: Path) -> None:
    bare = forge_crl(
        issuer=CHIP.ark_name,
        validity=(NOW - 60, NOW + 60),
        number=None,
        signer=CHIP.signer("ark"),
        extensions=(subject_key_id(b"x"),),
    )
    put(folder / "Milan.der", bare)

    assert "got None" in undecided(source).detail


@pytest.mark.parametrize("data", [b"", b"garbage", b"-----BEGIN X509 CRL-----\nAA", CHIP.crl()[:-1]])
def test_a_broken_file_of_ours_is_no_fault_of_the_evidence(source: Collateral, folder: Path, data: bytes) -> None:
    put(folder / "Milan.der", data)

    undecided(source)


def test_a_file_that_is_too_large_or_no_file_cannot_be_decided(source: Collateral, folder: Path) -> None:
    put(folder / "Milan.der", bytes(1024 * 1024 + 1))
    undecided(source)
    (folder / "Milan.der").unlink()

    (folder / "Milan.der").mkdir()
    assert "directory" in undecided(source).detail.lower()


@pytest.mark.parametrize(
    "key",
    ["../../secret", "..", ".", "a/b", "/etc/passwd", "", "a\0b", "Milan\n", ".hidden", "x" * 201, "Mi lan", "Milán"],
)
def test_a_key_from_evidence_never_leaves_the_folder(source: Collateral, folder: Path, key: str) -> None:
    """Whatever lies where such a key would lead is not even looked at."""
    for place in (folder.parents[1] / "secret.der", folder / ".hidden.der", folder / "a" / "b.der", folder / "..der"):
        place.parent.mkdir(exist_ok=True)
        put(place, CHIP.crl())

    undecided(source, replace(CRL, key=key))
    assert source.get("sev-snp", "default", [replace(VEK, kind="sev-snp.crl", key=key)]) == {}


def test_without_a_folder_nothing_is_at_hand(store: SqlStore) -> None:
    undecided(of_folder(store, ""))


def test_threads_that_read_at_once_get_whole_files(source: Collateral, folder: Path) -> None:
    lists = [made(number) for number in range(1, 30)]
    put(folder / "Milan.der", lists[0])
    seen: list[bytes] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            seen.append(crl(source))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for data in lists:
        put(folder / "Milan.der", data)
        os.sched_yield()
    stop.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= set(lists)
    assert crl(source) == lists[-1]


def test_an_enrolled_key_is_answered_for_its_own_tenant_only(source: Collateral, store: SqlStore) -> None:
    tpm = make_tpm()
    store.enrol_ak(
        EnrolledAk("acme", tpm.ak_name, tpm.ak_public, tpm.ek_digest, name_of(tpm.ek_area), "simulated", NOW * 1000),
        None,
    )
    need = Need(name="ak", kind=AK_KIND, key=tpm.ak_name.hex())
    found = decode_enrolled_ak(source.get("tpm2", "acme", [need])["ak"])

    assert found is not None
    assert (found.ak_name, found.ek_digest, found.root) == (tpm.ak_name, tpm.ek_digest, "simulated")
    assert decode_enrolled_ak(source.get("tpm2", "default", [need])["ak"]) is None
