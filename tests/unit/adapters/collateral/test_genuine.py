"""Over HTTP: what no anchor signed is never kept, so it blocks nobody; what is genuine and below its mark is never used."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd, _ca_certificate
from tests.support.service import MovedClock
from tests.support.stores import SEALER
from tests.support.vendor_servers import Page, VendorServer, put_forged_intel, vendor_server
from tests.support.waiting import wait_for
from tests.support.watcher import Watcher
from verifier.adapters.collateral.cache import Cache, Entry, is_due
from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.fetch_queue import Limits
from verifier.adapters.collateral.fetcher import Endpoint, Fetcher
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.http import Client
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.collateral.sources import Collateral
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.vendors import amd, intel
from verifier.adapters.vendors.amd import Kds
from verifier.adapters.vendors.intel import Pcs
from verifier.formats.errors import CannotDecide
from verifier.tee.registry import SCHEMES
from verifier.tee.verified import gather

NOW = int(time.time())
DAY = 86_400
AMD, INTEL = ForgedAmd(now=NOW), ForgedIntel(now=NOW)
ANCHORS = {"sev-snp": (AMD.anchor(),), "tdx": (INTEL.anchor(),)}
TDX = SCHEMES["tdx"]
QUOTE = TDX.form.decode({"quote": INTEL.quote("tdx", report_data=bytes(64))})
TCB_PATH = f"/tdx/certification/v4/tcb?fmspc={INTEL.fmspc}&update=standard"
QE_PATH = "/tdx/certification/v4/qe/identity"
PCK_CRL_PATH = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der"
ROOT_CRL_PATH = "/IntelSGXRootCA.der"


def made(kind: str, key: str) -> Item:
    found = item(kind, key)
    assert found is not None
    return found


VCEK = made("sev-snp.vcek", f"Milan-{AMD.hwid.hex()}-{AMD.tcb.hex()}")
ASK = made("sev-snp.ask", "Milan-vcek")
TCB_INFO = made("intel.tcb-info", f"tdx-{INTEL.fmspc}")


@dataclass
class Place:
    """A verifier's step 4 with everything behind it: source, socket, fetcher, HTTPS, vendor."""

    vendor: VendorServer
    cache: Cache
    store: SqlStore
    watcher: Watcher
    clock: MovedClock

    def source(self) -> Collateral:
        """A request worker's, new: what it knows of marks is the store's."""
        return Collateral(self.store, ANCHORS, self.clock, cache=self.cache, asker=FetcherClient(self.cache.folder))

    def gather(self, source: Collateral) -> dict[str, bytes]:
        """What the quote needs."""
        return gather(TDX, QUOTE, {}, lambda needs: source.get("tdx", "default", needs, source="192.0.2.1"))

    def lose(self) -> None:
        """Lose the cache; the store remembers."""
        for path in self.cache.folder.rglob("*.json"):
            path.unlink()

    def page(self, path: str, body: bytes) -> None:
        """Serve another document with the headers that were there."""
        self.vendor.pages[path] = Page(body, headers=self.vendor.pages[path].headers)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with vendor_server(tmp_path / "vendor", AMD) as vendor:
        put_forged_intel(vendor, INTEL)
        client, cache, watcher, clock = Client(str(vendor.ca_file)), Cache(tmp_path / "cache"), Watcher(), MovedClock()
        store = open_store(f"sqlite:///{tmp_path}/verifier.db", SEALER)
        pcs = Pcs(vendor.url, f"{vendor.url}{ROOT_CRL_PATH}")
        fetcher = Fetcher(
            cache=cache,
            endpoints=[Endpoint(amd.VENDOR, Kds(vendor.url), client, 0.0), Endpoint(intel.VENDOR, pcs, client, 0.0)],
            limits=Limits(),
            clock=clock,
            observer=watcher,
            anchors=(AMD.anchor(), INTEL.anchor()),
        )
        assert fetcher.try_start()
        yield Place(vendor, cache, store, watcher, clock)
        fetcher.close()
        store.close()


def settled(place: Place, source: Collateral) -> dict[str, bytes]:
    """Come again while things are on their way, as an attester does."""

    def look() -> dict[str, bytes] | None:
        try:
            return place.gather(source)
        except CannotDecide as error:
            if "not at hand" not in error.detail:
                raise
            return None

    found = wait_for(look)
    assert isinstance(found, dict)
    return found


NUMBERED: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "tcb_info": (TCB_PATH, lambda number: INTEL.signed_tcb_info("tdx", evaluation=number)),
    "qe_identity": (QE_PATH, lambda number: INTEL.signed_qe_identity("tdx", evaluation=number)),
    "pck_crl": (PCK_CRL_PATH, lambda number: INTEL.pck_crl("platform", number=number)),
    "root_crl": (ROOT_CRL_PATH, lambda number: INTEL.root_crl(number=number)),
}


@pytest.mark.parametrize("name", NUMBERED)
def test_two_numbers_are_in_force_on_one_day_and_the_older_one_is_never_used_again(place: Place, name: str) -> None:
    """[T] whoever serves the older of two genuine documents would decide; the cache may be lost, the marks are not."""
    path, document = NUMBERED[name]
    place.page(path, document(19))
    settled(place, place.source())
    place.lose()
    place.page(path, document(17))

    def refused() -> CannotDecide | None:
        try:
            place.gather(place.source())
        except CannotDecide as error:
            return error if "not at hand" not in error.detail else None
        raise AssertionError(f"{name}: 17 was used after 19")

    error = wait_for(refused)
    assert error.check_id == f"tdx.endorsement.{name}"
    assert "got 17" in error.detail

    place.lose()
    place.page(path, document(19))
    settled(place, place.source())


def test_a_document_that_its_signer_did_not_sign_is_never_kept_and_blocks_nobody(place: Place) -> None:
    """Of the right form, under a genuine chain, and with the highest number of all: from a false mirror, or one that broke."""
    whole = INTEL.signed_tcb_info("tdx")
    place.page(TCB_PATH, re.sub(rb'("tcbEvaluationDataNumber": ?)\d+', rb"\g<1>99999", whole))
    with pytest.raises(CannotDecide):
        place.gather(place.source())
    wait_for(lambda: place.watcher.outcomes["intel.tcb-info", "untrusted"])
    assert place.cache.read(TCB_INFO) is None

    place.page(TCB_PATH, whole)
    assert settled(place, place.source())["tcb_info"] == whole


def test_a_chips_certificate_that_its_intermediate_did_not_sign_is_never_kept(place: Place) -> None:
    """It would be answered with "not genuine" until it expires, seven years later."""
    client = FetcherClient(place.cache.folder)
    ark = AMD.signer("ark")
    place.vendor.pages[f"/vcek/v1/Milan/{AMD.hwid.hex()}"] = Page(AMD.vek(signer=ark))
    client.ask("default", "192.0.2.1", [VCEK])
    wait_for(lambda: place.watcher.outcomes["sev-snp.vcek", "untrusted"])
    assert place.cache.read(VCEK) is None

    del place.vendor.pages[f"/vcek/v1/Milan/{AMD.hwid.hex()}"]
    wait_for(lambda: client.ask("default", "192.0.2.1", [VCEK]) and place.cache.read(VCEK))


def test_an_intermediate_that_was_replaced_is_fetched_anew_with_the_first_certificate_under_the_new_one(
    place: Place,
) -> None:
    """AMD replaced Genoa's: what is kept is genuine, in force, and not what signed the chip's new certificate."""
    # Genuine, of the same name, and of another key.
    stale = _ca_certificate("Milan", "asvk", AMD.ask_name, AMD.ark_name)
    place.cache.put(Entry(ASK, stale, b"", "amd", NOW, inspect(ASK, stale)), NOW)

    client = FetcherClient(place.cache.folder)
    wait_for(lambda: client.ask("default", "192.0.2.1", [VCEK]) and place.cache.read(VCEK))
    kept = place.cache.read(ASK)
    assert kept is not None
    assert kept.body == AMD.ask() != stale


def test_a_clock_that_was_put_back_does_not_make_old_documents_new(place: Place) -> None:
    body = AMD.crl()
    of = made("sev-snp.crl", "Milan")
    facts = inspect(of, body)
    assert not is_due(Entry(of, body, b"", "amd", NOW, facts), NOW)
    assert is_due(Entry(of, body, b"", "amd", NOW + DAY, facts), NOW)

    place.cache.put(Entry(of, body, b"", "amd", NOW + DAY, facts), NOW)
    replies = FetcherClient(place.cache.folder).ask("default", "", [of], anew=True)
    assert replies[0].detail in ("it will be fetched", "it is being fetched")
    wait_for(lambda: (kept := place.cache.read(of)) is not None and kept.fetched <= time.time())
