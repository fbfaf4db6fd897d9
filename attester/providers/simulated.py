"""Provider ``simulated``: evidence of machines that do not exist, under roots whose private keys everybody has.

For trials without hardware. It is never chosen by itself, only a verifier that was started for forged TEEs believes it, and
its tokens say ``simulated`` "true". The configuration is compared as on the real machine: with HOST_DATA of the report,
which ``simulated_host_data`` plays the host in setting.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Literal

from attester.envelope import Envelope
from attester.providers import MEASURED_CHECK, Machine
from attester.simulated.sev_snp import ForgedAmd
from verifier.core.binding import BindingDigest
from verifier.core.errors import ConfigError, EvidenceRejected, mismatch


class SimulatedSnp:
    """One forged Milan chip."""

    scheme = "sev-snp"
    size: Literal["whole", "short"] = "whole"

    def __init__(self, machine: Machine) -> None:
        self._host_data = machine.simulated_host_data
        self._chip = ForgedAmd("Milan", now=int(time.time()))

    def close(self) -> None:
        """There is nothing to release."""

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge a report that carries the 64-byte digest, with its certificates."""
        report = self._chip.report(report_data=digest.whole, host_data=self._host_data)
        return Envelope(self.scheme, {"report": report}, self._chip.endorsements())

    def measure_config(self, config: bytes) -> None:
        """Compare SHA-256 of the configuration with the HOST_DATA that this machine was told to have."""
        want = hashlib.sha256(config).digest()
        if not hmac.compare_digest(self._host_data, want):
            raise EvidenceRejected(MEASURED_CHECK, mismatch("HOST_DATA", self._host_data.hex(), want.hex()))


def open_provider(machine: Machine) -> SimulatedSnp:
    """Make the simulated machine."""
    if machine.simulated_scheme != "sev-snp":
        want = "sev-snp; for tpm2 run a software TPM (swtpm) and the provider tpm2"
        raise ConfigError("settings", "machine.simulated_scheme", machine.simulated_scheme, want)
    return SimulatedSnp(machine)
