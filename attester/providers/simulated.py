"""Provider ``simulated``: evidence of machines that do not exist, under roots whose private keys are public.

For trials without hardware. It is never chosen by itself, only a verifier that was started for forged TEEs believes it, and
its tokens say ``simulated`` "true". The configuration is treated as on the real machine: compared with what the host fixed at
launch (HOST_DATA, MRCONFIGID, …; ``simulated_host_data`` plays the host), or extended into a PCR of the forged machine. A forge
is imported when its scheme is asked for.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from attester.ids import AttesterId
from attester.providers import SIMULATED_FIXED, EnrolmentIdentity, Machine
from forge.bootlog import measured_boot
from forge.tpm2 import make_tpm
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected, mismatch

if TYPE_CHECKING:
    from forge.azure import ForgedAzure, ForgedAzureTdx
    from forge.gcp_vtpm import ForgedGcp


@dataclass(frozen=True, slots=True)
class _Forged:
    """A forged machine: how it answers a challenge, and how it measures a configuration where its scheme has a PCR for it."""

    make: Callable[[BindingDigest], Envelope]
    extend: Callable[[bytes], None] | None = None


# What a maker is given: the machine, what its host fixed at launch (empty where the scheme has no such place), Unix seconds.
_Maker = Callable[[Machine, bytes, int], _Forged]


def _snp(_machine: Machine, fixed: bytes, now: int) -> _Forged:
    """Forge a Milan chip's reports, with their certificates."""
    from forge.sev_snp import ForgedAmd

    chip = ForgedAmd("Milan", now=now)

    def make(digest: BindingDigest) -> Envelope:
        report = chip.report(report_data=digest.whole, host_data=fixed)
        return Envelope("sev-snp", {"report": report}, chip.endorsements())

    return _Forged(make)


def _tdx(_machine: Machine, fixed: bytes, now: int) -> _Forged:
    from forge.intel import ForgedIntel

    intel = ForgedIntel(now=now)
    return _Forged(lambda digest: intel.envelope("tdx", digest, mrconfigid=fixed))


def _sgx(_machine: Machine, fixed: bytes, now: int) -> _Forged:
    from forge.intel import ForgedIntel

    intel = ForgedIntel(now=now)
    return _Forged(lambda digest: intel.envelope("sgx", digest, configid=fixed))


def _cca(_machine: Machine, fixed: bytes, now: int) -> _Forged:
    from forge.arm_cca import ForgedArm, realm_envelope

    arm = ForgedArm(now=now)
    return _Forged(lambda digest: realm_envelope(arm, digest, fixed))


def _nitro(_machine: Machine, _fixed: bytes, now: int) -> _Forged:
    """Forge an enclave; PCR 16 is the first that it may extend itself (SHA-384)."""
    from forge.aws_nitro import ForgedNitro, image_pcrs

    enclave, pcrs = ForgedNitro(now=now), image_pcrs()

    def extend(config: bytes) -> None:
        before = pcrs.get(_NITRO_PCR, bytes(hashlib.sha384().digest_size))
        pcrs[_NITRO_PCR] = hashlib.sha384(before + hashlib.sha384(config).digest()).digest()

    return _Forged(lambda digest: Envelope("aws-nitro", enclave.parts(digest, pcrs=dict(pcrs))), extend)


def _nitro_tpm(machine: Machine, _fixed: bytes, now: int) -> _Forged:
    from forge.aws_nitrotpm import ForgedNitroTpm

    instance = ForgedNitroTpm(now=now)

    def extend(config: bytes) -> None:
        nonlocal instance
        instance = instance.extended(machine.config_pcr, hashlib.sha384(config).digest())

    return _Forged(lambda digest: Envelope("aws-nitrotpm", instance.parts(digest)), extend)


def _gpu(_machine: Machine, _fixed: bytes, _now: int) -> _Forged:
    from forge.nvidia_gpu import ForgedNvidia, gpu_envelope

    gpu = ForgedNvidia()
    return _Forged(lambda digest: gpu_envelope(gpu, digest))


def _vtpm(scheme: str, forge: Callable[[int], ForgedAzure | ForgedAzureTdx | ForgedGcp]) -> _Maker:
    """Make the maker of a cloud's virtual machine, whose vTPM takes the configuration (SHA-256)."""

    def maker(machine: Machine, _fixed: bytes, now: int) -> _Forged:
        vm = forge(now)
        return _Forged(
            lambda digest: Envelope(scheme, vm.parts(digest), dict(vm.endorsements())),
            lambda config: vm.configured(config, machine.config_pcr),
        )

    return maker


def _azure_snp(now: int) -> ForgedAzure:
    from forge.azure import ForgedAzure
    from forge.sev_snp import ForgedAmd

    return ForgedAzure(ForgedAmd("Milan", now=now), now=now)


def _azure_tdx(now: int) -> ForgedAzureTdx:
    from forge.azure import ForgedAzureTdx
    from forge.intel import ForgedIntel

    return ForgedAzureTdx(ForgedIntel(now=now), now=now)


def _gcp(now: int) -> ForgedGcp:
    from forge.gcp_vtpm import ForgedGcp

    return ForgedGcp(now=now)


def _beside_gpu(scheme: str, cpu_maker: _Maker) -> _Maker:
    """Make the maker of a machine with a GPU: its evidence comes first, and the other's vouches for it."""

    def maker(machine: Machine, fixed: bytes, now: int) -> _Forged:
        from forge.nvidia_gpu import ForgedNvidia, envelope_with_gpu

        cpu, gpu = cpu_maker(machine, fixed, now), ForgedNvidia()
        return _Forged(lambda digest: envelope_with_gpu(scheme, gpu, digest, cpu.make), cpu.extend)

    return maker


_NITRO_PCR: Final = 16
_AZURE_SNP, _AZURE_TDX = _vtpm("azure-snp-vtpm", _azure_snp), _vtpm("azure-tdx-vtpm", _azure_tdx)
_MAKERS: Final[dict[str, _Maker]] = {
    "arm-cca": _cca,
    "aws-nitro": _nitro,
    "aws-nitrotpm": _nitro_tpm,
    "azure-snp-vtpm": _AZURE_SNP,
    "azure-snp-vtpm-gpu": _beside_gpu("azure-snp-vtpm-gpu", _AZURE_SNP),
    "azure-tdx-vtpm": _AZURE_TDX,
    "azure-tdx-vtpm-gpu": _beside_gpu("azure-tdx-vtpm-gpu", _AZURE_TDX),
    "gcp-vtpm": _vtpm("gcp-vtpm", _gcp),
    "nvidia-gpu": _gpu,
    "sev-snp": _snp,
    "sev-snp-gpu": _beside_gpu("sev-snp-gpu", _snp),
    "sgx": _sgx,
    "tdx": _tdx,
    "tdx-gpu": _beside_gpu("tdx-gpu", _tdx),
}
# Their binder is a TPM's quote or an SPDM report, with 32 bytes for the digest; all others' has 64.
_SHORT: Final = frozenset(
    {"nvidia-gpu", "gcp-vtpm", "aws-nitrotpm", *(name for name in _MAKERS if name.startswith("azure-"))}
)
# They carry more of a challenge than one value: bytes alone make no evidence.
_SEVERAL: Final = frozenset({"aws-nitro", "aws-nitrotpm", *(name for name in _MAKERS if name.endswith("-gpu"))}) - {
    "nvidia-gpu"
}


class SimulatedMachine:
    """One forged machine of any scheme but ``tpm2``, the same in every process, freshly booted each time."""

    def __init__(self, machine: Machine) -> None:
        self.scheme: str = machine.simulated_scheme
        self.size: Literal["whole", "short"] = "short" if self.scheme in _SHORT else "whole"
        self._place, self._hash = SIMULATED_FIXED.get(self.scheme, ("", ""))
        size = hashlib.new(self._hash).digest_size if self._hash else 0
        self._fixed = machine.simulated_host_data or bytes(size)
        self._forged = _MAKERS[self.scheme](machine, self._fixed, int(time.time()))

    def close(self) -> None:
        """There is nothing to release."""

    def collect(self, digest: BindingDigest) -> Envelope:
        """Forge evidence that carries the digest. Raises ``ConfigError`` for bytes alone where the scheme carries more."""
        if digest.vouching is None and self.scheme in _SEVERAL:
            raise ConfigError(
                "command line", "--report-data", digest.whole.hex(), f"--nonce: {self.scheme} carries several values"
            )
        return self._forged.make(digest)

    def measure_config(self, config: bytes) -> None:
        """Compare the configuration's digest with what the host fixed at launch, or extend it into the scheme's PCR.

        Raises ``EvidenceRejected('attester.config.measured')``, always where the scheme has no place for it.
        """
        if self._forged.extend is not None:
            self._forged.extend(config)
            return
        if not self._place:
            raise EvidenceRejected(
                AttesterId.CONFIG_MEASURED,
                f"{self.scheme}: has no place for an outside configuration, want --config-in-image",
            )
        want = hashlib.new(self._hash, config).digest()
        if not hmac.compare_digest(self._fixed, want):
            raise EvidenceRejected(AttesterId.CONFIG_MEASURED, mismatch(self._place, self._fixed.hex(), want.hex()))


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
            raise CannotDecide(AttesterId.TPM2_DEVICE, f"simulated TPM: {error}") from None


def open_provider(machine: Machine) -> SimulatedMachine | SimulatedTpm2:
    """Make the simulated machine."""
    return SimulatedTpm2(machine) if machine.simulated_scheme == "tpm2" else SimulatedMachine(machine)
