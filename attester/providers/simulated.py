"""Provider ``simulated``: evidence of machines that do not exist, under roots whose private keys everybody has.

For trials without hardware. It is never chosen by itself, only a verifier that was started for forged TEEs believes it, and
its tokens say ``simulated`` "true". The configuration is treated as on the real machine: compared with HOST_DATA
of the report, which ``simulated_host_data`` plays the host in setting, or extended into a PCR of the forged TPM.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import Literal

from attester.envelope import Envelope
from attester.providers import MEASURED_CHECK, EnrolmentIdentity, Machine
from attester.simulated.bootlog import measured_boot
from attester.simulated.sev_snp import ForgedAmd
from attester.simulated.tpm2 import make_tpm
from verifier.core.binding import BindingDigest
from verifier.core.errors import CannotDecide, EvidenceRejected, mismatch


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


class SimulatedTpm2:
    """One forged TPM, the same in every process, freshly booted each time: its PCRs do not outlive the command."""

    scheme = "tpm2"
    size: Literal["whole", "short"] = "short"

    def __init__(self, machine: Machine) -> None:
        self._tpm = make_tpm(machine.ak_kind).booted(measured_boot())
        self._config_pcr = machine.config_pcr
        self._pcrs = tuple(sorted({*machine.pcrs, machine.config_pcr}))

    def close(self) -> None:
        """There is nothing to release."""

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge a quote that carries the 32-byte digest, with PCRs and event log."""
        return Envelope(self.scheme, self._tpm.parts(digest.short, self._pcrs))

    def measure_config(self, config: bytes) -> None:
        """Extend the configuration PCR, as a boot that nothing was measured in yet takes it."""
        self._tpm = self._tpm.extended(self._config_pcr, hashlib.sha256(config).digest())

    def enrolment_identity(self, chain_file: str = "") -> EnrolmentIdentity:
        """Return what names the forged TPM; it holds all of its certificates itself."""
        del chain_file
        tpm = self._tpm
        return EnrolmentIdentity(tpm.ek_chain, tpm.ek_public, tpm.ak_public, tpm.ak_name, tpm.ek_digest)

    def activate(self, credential_blob: bytes, encrypted_secret: bytes, chain_file: str = "") -> bytes:
        """Open a credential in software. Raises ``CannotDecide('attester.tpm2.device')`` for one of another pair."""
        del chain_file
        try:
            return self._tpm.activate(credential_blob, encrypted_secret)
        except ValueError as error:
            raise CannotDecide("attester.tpm2.device", f"simulated TPM: {error}") from None


def open_provider(machine: Machine) -> SimulatedSnp | SimulatedTpm2:
    """Make the simulated machine."""
    return SimulatedSnp(machine) if machine.simulated_scheme == "sev-snp" else SimulatedTpm2(machine)
