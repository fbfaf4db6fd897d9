"""Step 4: folder, cache and marks together; a miss is told to the fetcher, never waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from tests.support.parts import published_evidence
from tests.support.service import MovedClock
from tests.support.vendor_servers import VendorServer, put_intel, put_vcek, vendor_server
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import inspect, is_of_anchor
from verifier.adapters.collateral.fetch_queue import Reply
from verifier.adapters.collateral.folder import Folder
from verifier.adapters.collateral.http import Client
from verifier.adapters.collateral.items import Item, item, item_of
from verifier.adapters.collateral.listed import ListedChips
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import SqlStore
from verifier.adapters.vendors.amd import Kds
from verifier.adapters.vendors.intel import Pcs
from verifier.core.ids import ServiceId
from verifier.core.ports import TrustRow
from verifier.formats.errors import CannotDecide
from verifier.formats.x509 import parse_certificate
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Need
from verifier.tee.sev_snp.decode import read_vek
from verifier.tee.verified import gather

NOW = int(time.time())
CHIP = ForgedAmd(now=NOW)
INTEL = ForgedIntel(now=NOW)
ANCHORS = {"sev-snp": (CHIP.anchor(),), "tdx": (INTEL.anchor(),), "sgx": (INTEL.anchor(),)}
CRL = Need("crl", "sev-snp.crl", "Milan")
VCEK = Need("vcek", "sev-snp.vcek", f"Milan-{CHIP.hwid.hex()}-{CHIP.tcb.hex()}")
ON_ITS_WAY = Reply("", "it will be fetched", 7)


class Asker:
    """Writes down what is asked for, and says the same to everybody."""

    def __init__(self, reply: Reply = ON_ITS_WAY) -> None:
        self.reply = reply
        self.asked: list[tuple[str, str, list[str], bool]] = []

    def ask(self, tenant: str, source: str, wanted: Sequence[Item], *, anew: bool = False) -> Sequence[Reply]:
        """Answer."""
        self.asked.append((tenant, source, [str(one) for one in wanted], anew))
        return [self.reply for _ in wanted]


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def source(tmp_path: Path, store: SqlStore, cache: Cache) -> Callable[..., Collateral]:
    def make(asker: Asker | None = None, clock: MovedClock | None = None) -> Collateral:
        return Collateral(
            store, ANCHORS, clock or MovedClock(), folder=str(tmp_path / "endorsements"), cache=cache, asker=asker
        )

    return make


def keep(cache: Cache, need: Need, body: bytes, chain: bytes = b"") -> Entry:
    place = item_of(need)
    assert place is not None
    entry = Entry(place[0], body, chain, "test", NOW, inspect(place[0], body, chain))
    cache.put(entry, NOW)
    return entry


def put(tmp_path: Path, need: Need, data: bytes, suffix: str = "der") -> None:
    path = (
        tmp_path / "endorsements" / need.kind.rpartition(".")[0] / need.kind.rpartition(".")[2] / f"{need.key}.{suffix}"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_miss_is_asked_for_once_with_all_that_is_missing_and_cannot_be_decided(
    source: Callable[..., Collateral],
) -> None:
    asker = Asker()
    with pytest.raises(CannotDecide) as caught:
        source(asker).get("sev-snp", "acme", [VCEK, CRL], source="192.0.2.9")

    assert (caught.value.check_id, caught.value.retry_after) == ("sev-snp.endorsement.vcek", 7)
    wanted = [f"sev-snp.vcek {VCEK.key}", "sev-snp.crl Milan"]
    assert asker.asked == [("acme", "192.0.2.9", wanted, False)]


def test_a_refused_want_keeps_its_own_id(source: Callable[..., Collateral]) -> None:
    with pytest.raises(CannotDecide) as caught:
        source(Asker(Reply(ServiceId.QUOTA, "too many", 30))).get("sev-snp", "acme", [CRL])

    assert (caught.value.check_id, caught.value.retry_after) == (ServiceId.QUOTA, 30)


def test_what_no_vendor_has_says_where_to_put_it(source: Callable[..., Collateral]) -> None:
    asker = Asker()
    with pytest.raises(CannotDecide, match=r"sev-snp/vlek/Milan-vlek-00\.der in endorsement_dir"):
        source(asker).get("sev-snp", "acme", [Need("vlek", "sev-snp.vlek", "Milan-vlek-00")])
    assert asker.asked == []


def test_an_optional_miss_is_asked_for_and_stops_nobody(source: Callable[..., Collateral]) -> None:
    asker = Asker()
    optional = Need("genoa_crl", "sev-snp.crl", "Genoa", required=False)

    assert source(asker).get("sev-snp", "acme", [optional]) == {}
    assert asker.asked == [("acme", "", ["sev-snp.crl Genoa"], False)]


def test_the_cache_answers_until_a_document_expires(source: Callable[..., Collateral], cache: Cache) -> None:
    entry, asker, clock = keep(cache, CRL, CHIP.crl()), Asker(), MovedClock()
    made = source(asker, clock)
    assert made.get("sev-snp", "default", [CRL]) == {"crl": entry.body}
    assert asker.asked == []

    clock.offset_ms = (entry.facts.expires - int(time.time()) + 2) * 1000
    with pytest.raises(CannotDecide):
        made.get("sev-snp", "default", [CRL])
    assert len(asker.asked) == 1


@pytest.mark.parametrize(("in_folder", "in_cache", "used"), [(5, 6, 6), (6, 5, 6), (5, 5, 5)])
def test_of_folder_and_cache_the_newer_list_is_used(
    source: Callable[..., Collateral], cache: Cache, tmp_path: Path, in_folder: int, in_cache: int, used: int
) -> None:
    lists = {number: CHIP.crl(number=number) for number in (5, 6)}
    put(tmp_path, CRL, lists[in_folder])
    keep(cache, CRL, lists[in_cache])

    assert source().get("sev-snp", "default", [CRL])["crl"] == lists[used]


def test_below_its_mark_nothing_is_used_and_a_newer_one_is_asked_for(
    source: Callable[..., Collateral], cache: Cache, store: SqlStore
) -> None:
    """The cache was lost, and the mirror is behind: the store remembers."""
    keep(cache, CRL, CHIP.crl(number=9))
    source().get("sev-snp", "default", [CRL])
    cache.path(item_of(CRL)[0]).unlink()  # type: ignore[index]  # a CRL has a place
    keep(cache, CRL, CHIP.crl(number=8))
    asker = Asker()
    made = source(asker)
    for _ in range(2):
        with pytest.raises(CannotDecide, match="got 8") as caught:
            made.get("sev-snp", "default", [CRL])
        assert caught.value.check_id == "sev-snp.endorsement.crl"
    assert [anew for *_rest, anew in asker.asked] == [True, True]
    assert store.head().seq == 0


def test_a_mark_raised_by_another_process_is_met_within_seconds(
    source: Callable[..., Collateral], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache, CRL, CHIP.crl(number=5))
    first, other = source(), source()
    first.get("sev-snp", "default", [CRL])
    keep(cache, CRL, CHIP.crl(number=6))
    other.get("sev-snp", "default", [CRL])
    cache.path(item_of(CRL)[0]).unlink()  # type: ignore[index]  # a CRL has a place
    keep(cache, CRL, CHIP.crl(number=5))

    monkeypatch.setattr(first._marks, "_now", lambda: time.monotonic() + 6)
    with pytest.raises(CannotDecide, match="got 5"):
        first.get("sev-snp", "default", [CRL])


INTEL_NEEDS = (
    Need("tcb_info", "intel.tcb-info", f"tdx-{INTEL.fmspc}"),
    Need("tcb_info_chain", "intel.tcb-info-chain", f"tdx-{INTEL.fmspc}"),
    Need("qe_identity", "intel.qe-identity", "tdx"),
    Need("qe_identity_chain", "intel.qe-identity-chain", "tdx"),
)


def keep_intel(cache: Cache, **changes: Any) -> None:
    tcb_info, _, identity, _ = INTEL_NEEDS
    keep(cache, tcb_info, INTEL.signed_tcb_info("tdx", **changes), INTEL.signing_chain())
    keep(cache, identity, INTEL.signed_qe_identity("tdx"), INTEL.signing_chain())


def test_a_document_and_its_chain_come_from_one_answer(source: Callable[..., Collateral], cache: Cache) -> None:
    keep_intel(cache)
    found = source().get("tdx", "default", INTEL_NEEDS)

    assert found["tcb_info"] == INTEL.signed_tcb_info("tdx")
    assert found["tcb_info_chain"] == found["qe_identity_chain"] == INTEL.signing_chain()


def test_one_missing_document_of_intels_is_one_want(source: Callable[..., Collateral]) -> None:
    asker = Asker()
    with pytest.raises(CannotDecide):
        source(asker).get("tdx", "default", INTEL_NEEDS)

    assert asker.asked[0][2] == [f"intel.tcb-info tdx-{INTEL.fmspc}", "intel.qe-identity tdx"]


@pytest.mark.skipif("tdx" not in SCHEMES, reason="tdx is being built")
def test_an_older_evaluation_than_was_ever_used_is_not_used(source: Callable[..., Collateral], cache: Cache) -> None:
    """[T] the same quote on the same day is accepted with one genuine TCB info and out of date with another."""
    keep_intel(cache, evaluation=19)
    source().get("tdx", "default", INTEL_NEEDS)
    for path in cache.folder.rglob("*.json"):
        path.unlink()
    keep_intel(cache, evaluation=17)

    with pytest.raises(CannotDecide) as caught:
        source().get("tdx", "default", INTEL_NEEDS)
    assert caught.value.check_id == "tdx.endorsement.tcb_info"


def test_a_version_2_report_gets_the_intermediate_that_issued_its_certificate(
    source: Callable[..., Collateral], cache: Cache
) -> None:
    vcek = Need("vcek", "sev-snp.vcek", f"unknown-{CHIP.hwid.hex()}-{CHIP.tcb.hex()}")
    keep(cache, vcek, CHIP.vek())
    keep(cache, Need("ask", "sev-snp.ask", "Milan-vcek"), CHIP.ask())
    crl = keep(cache, CRL, CHIP.crl()).body
    scheme, made = SCHEMES["sev-snp"], source()
    report = scheme.form.decode({"report": CHIP.report(report_data=bytes(64), version=2)})

    found = gather(scheme, report, {}, lambda needs: made.get("sev-snp", "default", needs))
    assert found == {"vcek": CHIP.vek(), "ask": CHIP.ask(), "crl": crl}


def test_listed_chips_are_read_anew_when_the_trust_documents_change(store: SqlStore) -> None:
    listed = ListedChips(store)
    assert listed() == frozenset()
    turin = "ab" * 8 + "00" * 56
    rows = [
        TrustRow("identity", "acme", "chips", 1, f'{{"values": {{"chip_allow": ["{CHIP.hwid.hex()}", "{turin}"]}}}}'),
        TrustRow("identity", "acme", "other", 1, '{"values": {}}'),
    ]
    store.replace_trust("digest", rows)

    assert listed() == {CHIP.hwid.hex(), turin, "ab" * 8}


def test_the_folder_is_listed_as_documents_too(tmp_path: Path) -> None:
    put(tmp_path, CRL, CHIP.crl())
    put(tmp_path, Need("", "sev-snp.vlek", "Milan-vlek-00"), CHIP.vek())
    put(tmp_path, Need("", "sev-snp.crl", "Genoa"), b"garbage")
    put(tmp_path, INTEL_NEEDS[0], INTEL.signed_tcb_info("tdx"), "json")
    put(tmp_path, INTEL_NEEDS[1], INTEL.signing_chain(), "pem")

    found = [str(entry.item) for entry in Folder(str(tmp_path / "endorsements")).entries(NOW)]
    assert found == [f"intel.tcb-info tdx-{INTEL.fmspc}", "sev-snp.crl Milan"]


# -- real recorded answers ------------------------------------------------------------------------------------------------


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[VendorServer]:
    with vendor_server(tmp_path / "vendor") as running:
        yield running


def cases(platform: str, *names: str) -> list[Path]:
    return [
        path
        for path in sorted((published_evidence() / platform).iterdir())
        if path.is_dir() and all((path / name).is_file() for name in names)
    ]


def test_real_answers_of_intel_are_read_as_what_they_are(vendor: VendorServer) -> None:
    anchors = tuple(SCHEMES["tdx"].verification.anchors) if "tdx" in SCHEMES else ()
    client, pcs = Client(str(vendor.ca_file)), Pcs(vendor.url, f"{vendor.url}/IntelSGXRootCA.der")
    wholesome = 0
    files = ("tcb_info.json", "pck.crl.der", "pck_crl_issuer_chain.pem", "root_ca.crl.der", "qe_identity.json")
    for tee in ("tdx", "sgx"):
        for case in cases(tee, *files):
            if "forged" in case.name or "other" in case.name:
                continue
            text = (case / "tcb_info.json").read_text().upper()
            fmspc = text.partition('"FMSPC":')[2].partition('"')[2].partition('"')[0]
            ca = "platform" if "PLATFORM" in _subjects(case / "pck_crl_issuer_chain.pem") else "processor"
            put_intel(vendor, tee=tee, fmspc=fmspc, read=lambda name, case=case: (case / name).read_bytes(), ca=ca)
            for kind, key in (
                ("tcb-info", f"{tee}-{fmspc}"),
                ("qe-identity", tee),
                ("pck-crl", ca),
                ("root-crl", "sgx-root"),
            ):
                of = item(f"intel.{kind}", key)
                assert of is not None
                body, chain = of.row.fetch(pcs, of.key, client.get)
                assert inspect(of, body, chain).issued > 0
                assert not anchors or is_of_anchor(of, body, anchors, chain), f"{case.name}: {of}"
            wholesome += 1
    assert wholesome >= 5


def _subjects(path: Path) -> str:
    from verifier.formats.pem import pem_blocks
    from verifier.formats.x509 import common_name

    blocks = pem_blocks(path.read_bytes(), "CERTIFICATE")
    return " ".join(common_name(parse_certificate(der, "case").subject) or "" for der in blocks).upper()


def test_real_certificates_of_amd_are_read_as_what_they_are(vendor: VendorServer) -> None:
    client, kds, wholesome = Client(str(vendor.ca_file)), Kds(vendor.url), 0
    for case in cases("sev-snp", "vcek.der"):
        der = (case / "vcek.der").read_bytes()
        vek = read_vek(parse_certificate(der, "case"), "case")
        if vek.hwid is None:
            continue
        put_vcek(vendor, der, vek.product)
        of = item("sev-snp.vcek", f"{vek.product}-{vek.hwid.hex()}-{vek.tcb.hex()}")
        assert of is not None
        body, chain = of.row.fetch(kds, of.key, client.get)
        assert (body, chain) == (der, b"")
        assert inspect(of, body).expires > 0
        wholesome += 1
    assert wholesome >= 5
