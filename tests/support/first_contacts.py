"""Attesters whose evidence brings no endorsement, and a live verifier that has to fetch them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from attester.flow import attest_once, verifier_client
from attester.patience import Patience
from forge.sev_snp import ForgedAmd
from tests.support.live import LiveVerifier
from tests.support.vendor_servers import VendorServer
from tests.support.waiting import wait_for
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.errors import BridgeError


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


def wait_for_fetcher(live: LiveVerifier) -> None:
    """The fetcher is another process, which may come up later than those that answer."""
    wait_for((live.folder.path / "collateral" / "fetcher.sock").exists)


def without_crl(live: LiveVerifier) -> None:
    """Take the CRL away that the demo's folder brings: it is to be fetched too."""
    for path in (live.folder.path / "endorsements").rglob("*.der"):
        path.unlink()


def metric(live: LiveVerifier, name: str, **labels: str) -> float:
    """Read one value of the exposition; 0 where it is not there."""
    for line in live.admin("/metrics").text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? ([0-9.e+-]+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    return 0.0


def attest(live: LiveVerifier, chip: ForgedAmd, *, wait_s: float = 60.0) -> None:
    """Walk the way as the attester's command does, with its patience."""
    trust, provider = live.trust(), BareProvider(chip)
    client = verifier_client(trust)
    Patience(wait_s).repeat(lambda: attest_once(client, trust, provider, lambda: int(time.time())))


def at_once(count: int, step: Callable[[], None]) -> list[BridgeError]:
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
