"""The fetcher against a vendor that does what vendors do: refuses, stalls, breaks off, answers with something else."""

from __future__ import annotations

import datetime as dt
import email.utils
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from tests.support.service import MovedClock
from tests.support.vendor_servers import Fault, Page, VendorServer, put_forged_intel, throttled, vendor_server
from tests.support.waiting import wait_for
from tests.support.watcher import Watcher
from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral import fetcher as fetcher_module
from verifier.adapters.collateral.cache import Cache, Entry, refresh_at
from verifier.adapters.collateral.fetch_queue import Limits
from verifier.adapters.collateral.fetcher import Endpoint, Fetcher, _Lane
from verifier.adapters.collateral.fetcher_socket import FetcherClient
from verifier.adapters.collateral.http import Client, Throttled, retry_after
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.vendors import amd, intel
from verifier.adapters.vendors.amd import Kds
from verifier.adapters.vendors.intel import Pcs
from verifier.adapters.vendors.kind import Answer, CallFailed
from verifier.core.ports import Clock
from verifier.formats.errors import CannotDecide

ASK = "sev-snp.ask"
PCK_CHAIN = "intel.pck-chain"
PCK_CRL = "intel.pck-crl"
QE_IDENTITY = "intel.qe-identity"
ROOT_CRL = "intel.root-crl"
SNP_CRL = "sev-snp.crl"
TCB_INFO = "intel.tcb-info"
VCEK = "sev-snp.vcek"
NOW = int(time.time())
MILAN = ForgedAmd("Milan", now=NOW)
TURIN = ForgedAmd("Turin", now=NOW)
VLEK = ForgedAmd("Milan", now=NOW, csp_id="CN=example")
INTEL = ForgedIntel(now=NOW)
ANCHORS = (MILAN.anchor(), TURIN.anchor(), INTEL.anchor())


def made(kind: str, key: str) -> Item:
    found = item(kind, key)
    assert found is not None
    return found


def vcek_of(chip: ForgedAmd) -> Item:
    return made(VCEK, f"{chip.product}-{chip.hwid.hex()}-{chip.tcb.hex()}")


CRL = made(SNP_CRL, "Milan")


@dataclass
class Stage:
    """A vendor, a cache, and the fetcher between them."""

    vendor: VendorServer
    cache: Cache
    fetcher: Fetcher
    watcher: Watcher

    def ask(self, *wanted: Item, source: str = "192.0.2.1") -> list[Any]:
        """Ask as a request worker does."""
        return list(FetcherClient(self.cache.folder).ask("default", source, wanted))

    def comes(self, of: Item) -> Entry:
        """Ask until it is there, as an attester does."""
        found = wait_for(lambda: self.ask(of) and self.cache.get(of, int(time.time())))
        assert isinstance(found, Entry)
        return found


# Of a vendor that is to be waited for in vain; one that answers has as long as it takes.
IMPATIENT = {"total_s": 1.0, "read_s": 0.5}


@contextmanager
def staged(
    path: Path,
    vendor: VendorServer,
    *,
    pccs: bool = False,
    clock: Clock | None = None,
    timeouts: Mapping[str, float] | None = None,
    **limits: Any,
) -> Iterator[Stage]:
    client = Client(str(vendor.ca_file), **(timeouts or {}))
    pcs = Pcs(vendor.url, f"{vendor.url}/IntelSGXRootCA.der", is_pccs=pccs)
    watcher, cache = Watcher(), Cache(path / "cache")
    fetcher = Fetcher(
        cache=cache,
        endpoints=[
            Endpoint(amd.VENDOR, Kds(vendor.url), client, 0.0),
            Endpoint(intel.VENDOR, pcs, client, 0.0),
        ],
        limits=Limits(**limits),
        clock=clock or SystemClock(),
        observer=watcher,
        anchors=ANCHORS,
    )
    assert fetcher.try_start()
    try:
        yield Stage(vendor, cache, fetcher, watcher)
    finally:
        fetcher.close()


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[VendorServer]:
    with vendor_server(tmp_path / "vendor", MILAN, TURIN, VLEK) as running:
        put_forged_intel(running, INTEL)
        yield running


@pytest.fixture
def stage(tmp_path: Path, vendor: VendorServer) -> Iterator[Stage]:
    with staged(tmp_path, vendor) as made_stage:
        yield made_stage


@dataclass
class FakeTime:
    """A fetcher without its threads, its vendor and the time that passes: only its own waiting moves the clock."""

    now: float = 1_000.0
    began: list[float] = field(default_factory=list)
    refusals: list[Throttled] = field(default_factory=list)

    def monotonic(self) -> float:
        """Stand in for ``time.monotonic``."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Stand in for the fetcher's waiting."""
        self.now += seconds

    def is_set(self) -> bool:
        """Nobody stops it."""
        return False

    def get(self, url: str, *_rest: Any) -> Answer:
        """Answer as the vendor, or refuse as often as told."""
        self.began.append(self.now)
        if self.refusals:
            raise self.refusals.pop()
        assert url.endswith("/vcek/v1/Milan/crl")
        return Answer(MILAN.crl(), {})

    def fetcher(self, path: Path, spacing: float) -> tuple[Fetcher, _Lane]:
        """Return the fetcher and the lane of its one vendor."""
        endpoint = Endpoint(amd.VENDOR, Kds("https://kds"), cast("Client", self), spacing)
        made_fetcher = Fetcher(
            cache=Cache(path / "cache"),
            endpoints=[endpoint],
            limits=Limits(),
            clock=SystemClock(),
            observer=Watcher(),
            anchors=ANCHORS,
            stop=cast("threading.Event", self),
        )
        return made_fetcher, _Lane(endpoint)


@pytest.fixture
def fake_time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    passing = FakeTime()
    monkeypatch.setattr(fetcher_module, "time", passing)
    return passing


PCK_KEY = f"{'0a' * 16}-{'05' * 16}-0d00-0000"


@pytest.mark.parametrize(
    "of",
    [
        vcek_of(MILAN),
        vcek_of(TURIN),
        made(VCEK, f"unknown-{MILAN.hwid.hex()}-{MILAN.tcb.hex()}"),
        made(ASK, "Milan-vcek"),
        made(ASK, "Milan-vlek"),
        CRL,
        made(TCB_INFO, f"sgx-{INTEL.fmspc}"),
        made(TCB_INFO, f"tdx-{INTEL.fmspc}"),
        made(QE_IDENTITY, "sgx"),
        made(QE_IDENTITY, "tdx"),
        made(PCK_CRL, "platform"),
        made(PCK_CRL, "processor"),
        made(ROOT_CRL, "sgx-root"),
    ],
    ids=str,
)
def test_every_kind_is_fetched_from_its_address_once_and_kept(stage: Stage, of: Item) -> None:
    entry = stage.comes(of)

    assert entry.source == of.vendor
    assert stage.ask(of)[0].detail == "it came meanwhile"
    wait_for(lambda: stage.watcher.outcomes and stage.vendor.calls)
    # A chip's certificate is kept only with the intermediate that signed it.
    assert len(stage.vendor.calls) == (2 if of.kind == VCEK else 1)
    assert stage.watcher.outcomes == {(of.kind, "stored"): 1}


def test_a_pccs_has_the_root_crl_and_certificates_by_qe_id(tmp_path: Path, vendor: VendorServer) -> None:
    with staged(tmp_path, vendor, pccs=True) as stage:
        stage.comes(made(ROOT_CRL, "sgx-root"))
        entry = stage.comes(made(PCK_CHAIN, PCK_KEY))

    assert entry.body.count(b"BEGIN CERTIFICATE") == 3
    assert any("qeid=0a0a" in call.path for call in vendor.calls)
    assert "/sgx/certification/v4/rootcacrl" in vendor.counts()


def test_the_set_of_tcb_info_is_asked_for_as_the_settings_say() -> None:
    asked: list[str] = []

    def get(url: str) -> Any:
        asked.append(url)
        raise CallFailed("stopped", "", passing=False)

    for pcs in (Pcs("https://pcs", "https://root"), Pcs("https://pcs/", "https://root", update="early"),
                Pcs("https://pcs", "https://root", evaluation=17)):  # fmt: skip
        with pytest.raises(CallFailed):
            pcs.tcb_info("tdx-00806F050000", get)
    base = "https://pcs/tdx/certification/v4/tcb?fmspc=00806F050000&"
    assert asked == [f"{base}update=standard", f"{base}update=early", f"{base}tcbEvaluationDataNumber=17"]


def test_a_turin_is_asked_for_by_eight_bytes_and_its_fmc() -> None:
    url = Kds("https://kds").vcek_url("Turin", TURIN.hwid.hex(), TURIN.tcb.hex())

    assert url == (f"https://kds/vcek/v1/Turin/{TURIN.hwid.hex()}?fmcSPL=01&blSPL=01&teeSPL=01&snpSPL=04&ucodeSPL=81")


PASSING = {
    "reset": Fault("reset"),
    "5xx": Fault("status", status=500),
    "garbage": Fault("garbage"),
    "truncated": Fault("truncate"),
    "hang": Fault("hang"),
}


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again_at_once(tmp_path: Path, vendor: VendorServer, name: str) -> None:
    vendor.faults = [PASSING[name]]

    with staged(tmp_path, vendor, timeouts=IMPATIENT if name == "hang" else None) as stage:
        stage.comes(CRL)
    assert len(vendor.calls) <= 3
    assert vendor.most_at_once == 1


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (Fault("reset"), "unreachable"),
        (Fault("status", status=502), "status-5xx"),
        (Fault("status", status=401), "status-4xx"),
        (Fault("garbage"), "garbage"),
        (Fault("truncate"), "truncated"),
        (Fault("huge"), "size"),
        (Fault("redirect"), "status-3xx"),
        (Fault("hang"), "timeout"),
        (Fault("drip"), "timeout"),
        (Fault("status", status=404), "absent"),
        (Fault("status", status=410), "absent"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.kind}{value.status or ''}",
)
def test_what_stays_wrong_is_never_kept_and_has_its_name(
    tmp_path: Path, vendor: VendorServer, fault: Fault, outcome: str
) -> None:
    vendor.always = fault
    with staged(tmp_path, vendor, timeouts=IMPATIENT if outcome == "timeout" else None) as stage:
        stage.ask(CRL)
        wait_for(lambda: stage.watcher.outcomes)

        assert stage.watcher.outcomes == {(SNP_CRL, outcome): 1}
        assert list(stage.cache.entries()) == []
        reply = stage.ask(CRL)[0]
    assert reply.check_id == ""
    assert reply.retry_after >= 1
    assert ("does not exist" in reply.detail) == (outcome == "absent")


def test_the_content_type_is_nobodys_proof(stage: Stage) -> None:
    """What counts is what can be read; a mirror that says text/html of a certificate is still a mirror."""
    stage.vendor.always = Fault("type")

    stage.comes(vcek_of(MILAN))


def test_a_slow_answer_within_the_deadline_is_an_answer(stage: Stage) -> None:
    stage.vendor.always = Fault("slow", seconds=0.3)

    stage.comes(CRL)


def test_a_list_that_no_anchor_signed_is_not_kept(stage: Stage) -> None:
    """A false mirror can serve anything; a list of nobody's would stop every login until somebody looks."""
    stage.vendor.pages["/vcek/v1/Milan/crl"] = Page(MILAN.crl(number=9, signer=MILAN.signer("ask")))
    stage.vendor.pages["/sgx/certification/v4/pckcrl?ca=platform&encoding=der"] = Page(
        INTEL.pck_crl("processor"), headers={"SGX-PCK-CRL-Issuer-Chain": "none"}
    )
    stage.ask(CRL, made(PCK_CRL, "platform"))

    wait_for(lambda: sum(stage.watcher.outcomes.values()) >= 2)
    assert stage.watcher.outcomes == {(SNP_CRL, "untrusted"): 1, (PCK_CRL, "garbage"): 1}
    assert list(stage.cache.entries()) == []


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_vendor_says_when_to_come_again(vendor: VendorServer, form: str) -> None:
    then = dt.datetime.now(tz=dt.UTC) + dt.timedelta(hours=1)
    vendor.faults = [throttled("3600" if form == "seconds" else email.utils.format_datetime(then, usegmt=True))]

    with pytest.raises(Throttled) as caught:
        Client(str(vendor.ca_file)).get(f"{vendor.url}/vcek/v1/Milan/crl")
    assert caught.value.retry_after is not None
    assert 3_000 < caught.value.retry_after <= 3_600


def test_retry_after_is_honoured_and_what_waits_keeps_its_place(tmp_path: Path, fake_time: FakeTime) -> None:
    fetcher, lane = fake_time.fetcher(tmp_path, spacing=0.0)
    fetcher.answer("default", "", [CRL, made(ASK, "Milan-vcek")], False)  # noqa: FBT003
    first = fetcher._queue.take("amd", fake_time.now)
    assert first is not None
    fake_time.refusals = [Throttled(429, 20.0)]

    assert fetcher._fetch(lane, first) == "throttled"
    assert fetcher.answer("default", "", [CRL], False)[0].retry_after >= 20  # noqa: FBT003
    assert fetcher._queue.take("amd", fake_time.now + 19.9) is None
    assert fetcher._queue.take("amd", fake_time.now + 20.6) == first


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("120", 120.0), (" 0 ", 0.0), ("9" * 40, 999_999_999.0), ("Wed, 21 Oct 2026 07:28:10 GMT", 10.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0), ("", None), ("soon", None), ("-5", None), ("1.5", None), ("٣", None),
    ],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(text: str, want: float | None) -> None:
    now = dt.datetime(2026, 10, 21, 7, 28, 0, tzinfo=dt.UTC)

    assert retry_after(text, now) == want


def test_calls_are_paced(tmp_path: Path, fake_time: FakeTime) -> None:
    fetcher, lane = fake_time.fetcher(tmp_path, spacing=0.3)
    for _ in range(4):
        fetcher._once(lane, CRL)
    fake_time.now += 10
    fetcher._once(lane, CRL)

    assert fake_time.began == pytest.approx([1_000.0, 1_000.3, 1_000.6, 1_000.9, 1_010.9])


def test_calls_come_one_at_a_time(tmp_path: Path, vendor: VendorServer) -> None:
    vendor.delay_s = 0.05
    with staged(tmp_path, vendor) as stage:
        for of in (vcek_of(MILAN), vcek_of(TURIN), made(ASK, "Milan-vcek"), CRL):
            stage.ask(of)
        # Turin's certificate brings the intermediate along that vouches for it.
        wait_for(lambda: len(list(stage.cache.entries())) == 5)

    assert set(vendor.counts().values()) == {1}
    assert vendor.most_at_once == 1


def test_what_does_not_exist_is_asked_for_once(stage: Stage) -> None:
    stranger = vcek_of(ForgedAmd(now=NOW, seed=b"stranger"))
    stage.ask(stranger)
    wait_for(lambda: stage.watcher.outcomes[VCEK, "absent"])
    for _ in range(20):
        assert "does not exist" in stage.ask(stranger)[0].detail

    assert len(stage.vendor.calls) == 1


def test_a_tcb_that_no_certificate_can_have_is_not_even_asked_for(stage: Stage) -> None:
    stage.ask(made(VCEK, f"Milan-{MILAN.hwid.hex()}-{'ff' * 8}"))
    wait_for(lambda: stage.watcher.outcomes[VCEK, "absent"])

    assert stage.vendor.calls == []


def test_quotas_are_told_apart_from_failures_and_counted(tmp_path: Path, vendor: VendorServer) -> None:
    vendor.always = Fault("hang")
    with staged(tmp_path, vendor, timeouts=IMPATIENT, per_source=2) as stage:
        ids = [stage.ask(vcek_of(ForgedAmd(now=NOW, seed=b"%d" % number)))[0].check_id for number in range(4)]

    assert ids == ["", "", "service.collateral.quota", "service.collateral.quota"]
    assert stage.watcher.refusals == {"service.collateral.quota": 2}


def test_one_fetcher_a_folder_and_another_takes_over_when_it_ends(tmp_path: Path, vendor: VendorServer) -> None:
    with staged(tmp_path, vendor) as first:
        standby = Fetcher(
            cache=Cache(tmp_path / "cache"),
            endpoints=first.fetcher.endpoints,
            limits=Limits(),
            clock=SystemClock(),
            observer=Watcher(),
            anchors=ANCHORS,
        )
        assert not standby.try_start()
        first.fetcher.close()
        assert standby.try_start()
        first.comes(CRL)
        standby.close()


def test_without_a_fetcher_a_worker_hears_so(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(CannotDecide) as caught:
            FetcherClient(folder).ask("default", "", [CRL])
        assert caught.value.check_id == "service.collateral.fetcher"


def test_a_folder_with_a_long_name_has_a_door(tmp_path: Path, vendor: VendorServer) -> None:
    """A socket's path has 107 bytes."""
    with staged(tmp_path / ("long" * 30), vendor) as stage:
        stage.comes(CRL)


def test_a_list_is_renewed_ahead_of_its_end_and_the_old_one_used_while_its_vendor_is_down(
    tmp_path: Path, vendor: VendorServer
) -> None:
    """Past two thirds of its life, unexpired: it is used, and asked for; the vendor is down, and then is not."""
    cache, later = Cache(tmp_path / "cache"), MovedClock()
    vendor.pages["/vcek/v1/Milan/crl"] = Page(MILAN.crl(number=4, validity=(NOW - 80_000, NOW + 100_000)))
    with staged(tmp_path, vendor, clock=later) as stage:
        assert stage.comes(CRL).facts.rank[0] == 4
    vendor.calls.clear()
    vendor.faults = [Fault("status", status=500)] * 3
    later.offset_ms = 80_000_000
    with staged(tmp_path, vendor, clock=later):
        vendor.wait_for_calls(3)
        vendor.pages["/vcek/v1/Milan/crl"] = Page(MILAN.crl(number=5))
        assert cache.read(CRL) is not None
    entry = cache.read(CRL)
    assert entry is not None
    now = later.now_ms() // 1000
    assert refresh_at(entry) <= now < entry.facts.expires
    with staged(tmp_path, vendor, clock=later):
        wait_for(lambda: (found := cache.get(CRL, now)) is not None and found.facts.rank[0] == 5)


def test_a_vendor_that_serves_an_older_list_does_not_take_the_newer_one_away(stage: Stage) -> None:
    stage.vendor.crl_number = 7
    assert stage.comes(CRL).facts.rank[0] == 7
    stage.vendor.crl_number = 6
    wait_for(lambda: stage.fetcher._queue.refresh(CRL, time.monotonic()))  # once the first one is done with
    wait_for(lambda: stage.watcher.outcomes[SNP_CRL, "older"])

    assert stage.comes(CRL).facts.rank[0] == 7


def test_the_environment_changes_neither_ca_nor_proxy(
    tmp_path: Path, vendor: VendorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS_CA_BUNDLE overrides a session's CA unless the session is told not to look."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(vendor.ca_file))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(CallFailed) as caught:
        Client(total_s=5).get(f"{vendor.url}/vcek/v1/Milan/crl")
    assert caught.value.kind == "untrusted"

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    assert Client(str(vendor.ca_file)).get(f"{vendor.url}/vcek/v1/Milan/crl").body
    assert tmp_path.exists()
