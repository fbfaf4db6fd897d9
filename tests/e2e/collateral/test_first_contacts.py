"""Issue 4, must-show 4: fifty attesters of one new chip come at once while AMD says 429. One call at a time, everybody verified."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import Any, Literal

import pytest

from attester.envelope import Envelope
from attester.flow import attest_once, verifier_client
from attester.patience import patiently
from attester.simulated.sev_snp import ForgedAmd
from tests.support.live import LiveVerifier, live_verifier
from tests.support.vendor_servers import VendorServer, throttled, vendor_server
from tools.demo.forged import forged_chip
from verifier.core.binding import BindingDigest
from verifier.core.errors import BridgeError, CannotDecide

ATTESTERS = 50


class BareProvider:
    """An attester's provider whose evidence brings no endorsement at all."""

    scheme = "sev-snp"
    size: Literal["whole", "short"] = "whole"

    def __init__(self, chip: ForgedAmd) -> None:
        self._chip = chip

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge a report that carries the digest."""
        return Envelope(self.scheme, {"report": self._chip.report(report_data=digest.whole)}, {})

    def measure_config(self, config: bytes) -> None:
        """Nothing is configured from outside."""

    def close(self) -> None:
        """Nothing is open."""


def settings_for(vendor: VendorServer, **more: Any) -> dict[str, Any]:
    """Settings of a verifier that fetches from the stand-in, and as fast as it may."""
    return {"kds_url": vendor.url, "collateral_ca_file": str(vendor.ca_file), "kds_interval_s": 0.05, **more}


def without_crl(live: LiveVerifier) -> None:
    """Take the CRL away that the demo's folder brings: it is to be fetched too."""
    for path in (live.folder.path / "endorsements").rglob("*.der"):
        path.unlink()


def metric(live: LiveVerifier, name: str, **labels: str) -> float:
    """Read one value of the exposition; 0 where it is not there."""
    for line in live.get("/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([0-9.e+-]+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    return 0.0


def attest(live: LiveVerifier, chip: ForgedAmd, *, wait_s: float = 60.0) -> None:
    """Walk the way as the attester's command does, with its patience."""
    trust, provider = live.trust(), BareProvider(chip)
    client = verifier_client(trust)
    patiently(lambda: attest_once(client, trust, provider, lambda: int(time.time())), wait_s=wait_s)


def at_once(count: int, step: Any) -> list[BridgeError]:
    """Run a step in so many threads that begin together; returns what was refused."""
    refused: list[BridgeError] = []
    barrier = threading.Barrier(count)

    def one() -> None:
        barrier.wait(30)
        try:
            step()
        except BridgeError as error:
            refused.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return refused


def test_fifty_first_contacts_of_one_new_chip_make_one_call_at_a_time_and_are_all_verified(tmp_path: Path) -> None:
    chip = forged_chip(b"a new chip")
    with vendor_server(tmp_path / "kds", chip) as kds:
        kds.faults = [throttled("2"), throttled("1")]
        kds.delay_s = 0.1
        with live_verifier(tmp_path, settings_for(kds)) as live:
            without_crl(live)
            refused = at_once(ATTESTERS, lambda: attest(live, chip))

            assert not refused
            assert kds.most_at_once == 1
            # Chain, CRL and the chip's certificate once each, and the two that were told to come again.
            assert len(kds.calls) == 5
            assert len(set(kds.counts())) == 3
            records = live.records()
            assert [record.outcome for record in records] == ["accepted"] * ATTESTERS
            assert metric(live, "vab_collateral_fetches_total", kind="sev-snp.vcek", outcome="stored") == 1
            assert metric(live, "vab_collateral_fetches_total", outcome="throttled") >= 1
            assert metric(live, "vab_refusals_total", outcome="rejected") == 0
            waits = sorted(call.begun for call in kds.calls)
            # It was left alone for as long as it asked.
            assert waits[1] - waits[0] >= 2.0
            assert waits[2] - waits[1] >= 1.0


def test_a_restart_keeps_the_cache_and_a_vendor_that_is_down_changes_nothing(tmp_path: Path) -> None:
    chip = forged_chip(b"kept")
    with vendor_server(tmp_path / "kds", chip) as kds, live_verifier(tmp_path, settings_for(kds)) as live:
        without_crl(live)
        attest(live, chip)
        assert len(kds.calls) == 3

        live.kill()
        kds.always = throttled("", status=503)
        live.start()
        attest(live, chip, wait_s=0)

        assert len(kds.calls) == 3


def test_who_is_unknown_cannot_starve_a_listed_chip(tmp_path: Path) -> None:
    """Strangers fill the open lane with chips that do not exist; the fleet's own new chip is fetched next."""
    chip = forged_chip(b"of the fleet")
    documents = tmp_path / "verifier" / "trust" / "listed.yaml"
    documents.parent.mkdir(parents=True)
    documents.write_text(
        "document: identity\nkind: platform\nscheme: sev-snp\nname: listed\ntenant: default\nversion: 1\n"
        f"origin: this test\nvalues:\n  chip_allow: ['{chip.hwid.hex()}']\n",
        encoding="utf-8",
    )
    with vendor_server(tmp_path / "kds", chip) as kds:
        settings = settings_for(kds, collateral_queue=8, kds_interval_s=0.2)
        with live_verifier(tmp_path, settings) as live:
            kds.delay_s = 0.3
            codes: list[str] = []
            for number in range(30):
                with pytest.raises(CannotDecide) as caught:
                    attest(live, forged_chip(b"stranger %d" % number), wait_s=0)
                codes.append(caught.value.check_id)
            assert set(codes) <= {
                "sev-snp.endorsement.vcek", "service.collateral.quota", "service.collateral.queue",
            }  # fmt: skip
            assert "service.collateral.quota" in codes

            before = time.monotonic()
            attest(live, chip)
            assert time.monotonic() - before < 15
            strangers = sum(1 for call in kds.calls if call.path.startswith("/vcek/v1/Milan/") and "SPL" in call.path)
            assert strangers < 12
            assert metric(live, "vab_collateral_refused_total", check_id="service.collateral.quota") > 0
