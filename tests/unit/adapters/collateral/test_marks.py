"""Marks: each genuine document raises its own, whichever scheme asked for it, and under whatever name."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.items import item_of
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import SqlStore
from verifier.formats.errors import CannotDecide
from verifier.tee.scheme import Need

NOW = int(time.time())
AMD, INTEL = ForgedAmd(now=NOW), ForgedIntel(now=NOW)
SNP = ("sev-snp", "sev-snp-gpu", "azure-snp-vtpm", "azure-snp-vtpm-gpu", "gcp-vtpm")
DCAP = ("tdx", "tdx-gpu", "azure-tdx-vtpm", "azure-tdx-vtpm-gpu", "gcp-vtpm")
ANCHORS = {name: (AMD.anchor(), INTEL.anchor()) for name in (*SNP, *DCAP)}


def source(store: SqlStore, path: Path, *kept: tuple[Need, bytes, bytes]) -> Collateral:
    """A source whose cache holds just these documents."""
    cache = Cache(path)
    for need, body, chain in kept:
        place = item_of(need)
        assert place is not None
        assert cache.put(Entry(place[0], body, chain, "test", NOW, inspect(place[0], body, chain)), NOW) == "stored"
    return Collateral(store, ANCHORS, SystemClock(), cache=cache)


@pytest.mark.parametrize("scheme", SNP)
def test_a_list_below_its_mark_is_used_by_no_scheme(tmp_path: Path, store: SqlStore, scheme: str) -> None:
    asked = Need("some_name.crl", "sev-snp.crl", "Milan")
    source(store, tmp_path / "new", (asked, AMD.crl(number=9), b"")).get("sev-snp", "default", [asked])
    with pytest.raises(CannotDecide, match="got 8") as caught:
        source(store, tmp_path / "old", (asked, AMD.crl(number=8), b"")).get(scheme, "default", [asked])
    assert caught.value.check_id == f"{scheme}.endorsement.crl"


@pytest.mark.parametrize("scheme", DCAP)
def test_tcb_info_below_its_mark_is_used_by_no_scheme(tmp_path: Path, store: SqlStore, scheme: str) -> None:
    info = Need("tcb_info", "intel.tcb-info", f"tdx-{INTEL.fmspc}")
    both = [info, Need("its_chain", "intel.tcb-info-chain", f"tdx-{INTEL.fmspc}")]
    new, old = (INTEL.signed_tcb_info("tdx", evaluation=number) for number in (19, 17))
    source(store, tmp_path / "new", (info, new, INTEL.signing_chain())).get("tdx", "default", both)
    with pytest.raises(CannotDecide, match="got 17") as caught:
        source(store, tmp_path / "old", (info, old, INTEL.signing_chain())).get(scheme, "default", both)
    assert caught.value.check_id == f"{scheme}.endorsement.tcb_info"


def test_a_bare_pck_crl_is_numbered_by_the_chain_that_was_asked_for_with_it(tmp_path: Path, store: SqlStore) -> None:
    crl = Need("pck_crl", "intel.pck-crl", "platform")
    chain = Need("pck_chain", "intel.pck-chain", f"{'0a' * 16}-{'05' * 16}-0d00-0000")
    beside = (chain, INTEL.pck_chain(), b"")
    new, old = (INTEL.pck_crl("platform", number=number) for number in (9, 8))
    source(store, tmp_path / "new", (crl, new, b""), beside).get("tdx", "default", [crl, chain])
    # Without the chain nothing says whose list it is: no mark is known to hold for it.
    assert source(store, tmp_path / "alone", (crl, old, b"")).get("tdx", "default", [crl]) == {"pck_crl": old}
    with pytest.raises(CannotDecide, match="got 8"):
        source(store, tmp_path / "old", (crl, old, b""), beside).get("tdx", "default", [crl, chain])


def test_nothing_found_raises_nothing(tmp_path: Path, store: SqlStore) -> None:
    optional = Need("genoa_crl", "sev-snp.crl", "Genoa", required=False)
    assert source(store, tmp_path / "none").get("sev-snp", "default", [optional]) == {}
