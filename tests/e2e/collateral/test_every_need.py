"""Quotes that carry no PCK chain, and composites: over HTTP, from a stand-in KDS and PCCS, all that they need comes in the end."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from attester.flow import attest_once, verifier_client
from attester.patience import Patience
from forge.azure import ForgedAzure
from forge.intel import ForgedIntel
from forge.intel_quote import Shape
from forge.nvidia_gpu import ForgedNvidia, envelope_with_gpu
from forge.sev_snp import ForgedAmd
from tests.support.first_contacts import metric, wait_for_fetcher
from tests.support.forged import CONFIGURATION, ForgedMachine, Provider
from tests.support.live import LiveVerifier, live_verifier
from tests.support.vendor_servers import VendorServer, put_forged_intel, vendor_server
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.errors import CannotDecide
from verifier.tee.dcap import layout
from verifier.tee.dcap.decode import decode_quote
from verifier.tee.dcap.endorse import pck_key

NOW = int(time.time())
AMD, INTEL, GPU = ForgedAmd(now=NOW), ForgedIntel(now=NOW), ForgedNvidia()
AZURE = ForgedAzure(AMD, now=NOW)
AZURE.configured(CONFIGURATION)
NAMELESS = Shape(certification=layout.CERT_PPID_RSA_3072)
PCKCERT = "/sgx/certification/v4/pckcert"


def nameless_quote(digest: BindingDigest) -> bytes:
    """A quote whose certification data names a platform, and says neither FMSPC nor CA."""
    config = hashlib.sha384(CONFIGURATION).digest()
    return INTEL.quote("tdx", report_data=digest.whole, shape=NAMELESS, mrconfigid=config)


def nameless(digest: BindingDigest) -> Envelope:
    return Envelope("tdx", {"quote": nameless_quote(digest)}, {})


def azure(digest: BindingDigest) -> Envelope:
    return Envelope("azure-snp-vtpm", AZURE.parts(digest), {
        name: data for name, data in AZURE.endorsements().items() if name not in ("vcek", "ask")
    })  # fmt: skip


def key_of_quote() -> str:
    quote = INTEL.quote("tdx", report_data=bytes(64), shape=NAMELESS)
    return pck_key(decode_quote(quote, "test", frozenset({layout.TEE_TDX})))


INTEL_SAYS = {**INTEL.answers("tdx"), ("intel.pck-chain", key_of_quote()): INTEL.pck_chain()}
AMD_SAYS = {
    ("sev-snp.vcek", f"Milan-{AMD.hwid.hex()}-{AMD.tcb.hex()}"): AMD.vek(),
    ("sev-snp.ask", "Milan-vcek"): AMD.ask(),
    ("sev-snp.crl", "Milan"): AMD.crl(),
}
MACHINES = {
    one.scheme: one
    for one in (
        ForgedMachine("tdx", nameless, {"tdx": (INTEL.anchor(),)}, INTEL_SAYS),
        ForgedMachine(
            "tdx-gpu",
            lambda digest: envelope_with_gpu("tdx-gpu", GPU, digest, nameless),
            {"tdx": (INTEL.anchor(),), "nvidia-gpu": (GPU.anchor(),)},
            INTEL_SAYS,
        ),
        ForgedMachine(
            "azure-snp-vtpm", azure, {"sev-snp": (AMD.anchor(),), "azure-snp-vtpm": (AZURE.ca.anchor(),)}, AMD_SAYS
        ),
    )
}
MISSED_FIRST = {
    "tdx": "tdx.endorsement.pck_chain",
    "tdx-gpu": "tdx-gpu.endorsement.pck_chain",
    "azure-snp-vtpm": "azure-snp-vtpm.endorsement.vcek",
}


@dataclass
class Place:
    """The running verifier and the vendors that it asks."""

    live: LiveVerifier
    vendor: VendorServer

    def attest(self, scheme: str, *, wait_s: float) -> None:
        """Walk the way with the attester's patience."""
        trust = self.live.trust(scheme)
        provider, client = Provider(MACHINES[scheme]), verifier_client(trust)
        Patience(wait_s).repeat(lambda: attest_once(client, trust, provider, lambda: int(time.time())))

    def forget(self) -> None:
        """As on the first day: nothing is cached, nothing was asked for."""
        for path in (self.live.folder.path / "collateral").rglob("*.json"):
            path.unlink()
        self.vendor.calls.clear()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("needs")
    with vendor_server(path / "vendor", AMD) as vendor:
        put_forged_intel(vendor, INTEL)
        # It answers for this platform alone, asked as a PCCS is.
        page, (qe_id, cpu_svn, pce_svn, pce_id) = vendor.pages.pop(PCKCERT), key_of_quote().split("-")
        query = f"qeid={qe_id}&cpusvn={cpu_svn}&pcesvn={pce_svn}&pceid={pce_id}&encrypted_ppid="
        vendor.pages[f"{PCKCERT}?{query}"] = page
        settings = {
            "kds_url": vendor.url, "pcs_url": vendor.url, "pcs_is_pccs": True, "collateral_ca_file": str(vendor.ca_file),
            "kds_interval_s": 0.05, "pcs_interval_s": 0.05,
        }  # fmt: skip
        with live_verifier(path, settings, start=False) as live:
            live.trust_machines(MACHINES, NOW)
            live.start()
            wait_for_fetcher(live)
            yield Place(live, vendor)


@pytest.mark.parametrize("scheme", sorted(MACHINES))
def test_everything_that_it_needs_is_fetched_step_by_step(place: Place, scheme: str) -> None:
    place.forget()
    with pytest.raises(CannotDecide) as caught:
        place.attest(scheme, wait_s=0)
    assert caught.value.check_id == MISSED_FIRST[scheme]

    place.attest(scheme, wait_s=30)

    called = place.vendor.counts()
    # One document, one call; an answer may bring two (a chain beside its document).
    assert set(called.values()) == {1}
    wanted = {kind for kind, _key in MACHINES[scheme].collateral if not kind.endswith("-chain") or "pck" in kind}
    assert len(called) == len(wanted)
    assert metric(place.live, "vab_refusals_total", outcome="rejected") == 0
    # From now on it is at hand.
    place.attest(scheme, wait_s=0)
    assert place.vendor.counts() == called


def test_a_chain_that_came_with_the_evidence_opens_the_rest_without_a_pccs(place: Place) -> None:
    """The guest's host hands it out often enough: then Intel's own service has all that is missing."""
    place.forget()
    carried: Callable[[BindingDigest], Envelope] = lambda digest: replace(  # noqa: E731
        nameless(digest), endorsements={"pck_chain": INTEL.pck_chain()}
    )
    trust = place.live.trust("tdx")
    provider, client = Provider(replace(MACHINES["tdx"], make=carried)), verifier_client(trust)
    Patience(30).repeat(lambda: attest_once(client, trust, provider, lambda: int(time.time())))

    assert PCKCERT not in place.vendor.counts()
    assert place.vendor.counts()["/tdx/certification/v4/tcb"] == 1


def test_nothing_is_left_in_the_folder_but_what_was_fetched(place: Place) -> None:
    cache: Path = place.live.folder.path / "collateral"
    for path in (cache, *cache.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
