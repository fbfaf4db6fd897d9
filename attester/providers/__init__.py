"""Where evidence comes from: one line per provider, imported only when it is opened.

A provider reads its machine and nothing else; it decides nothing about what the verifier or its owner will think.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from attester.ids import AttesterId
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.errors import CannotDecide, ConfigError

# The one id under which an outside configuration is refused, whatever the machine (docs/attester.md).

AkKind = Literal["ecc", "rsa"]
SimulatedScheme = Literal[
    "arm-cca",
    "aws-nitro",
    "aws-nitrotpm",
    "azure-snp-vtpm",
    "azure-snp-vtpm-gpu",
    "azure-tdx-vtpm",
    "azure-tdx-vtpm-gpu",
    "gcp-vtpm",
    "nvidia-gpu",
    "sev-snp",
    "sev-snp-gpu",
    "sgx",
    "tdx",
    "tdx-gpu",
    "tpm2",
]
# Where a host fixes the configuration's digest at launch, and by which hash; schemes that are not here have no such place.
SIMULATED_FIXED: Mapping[str, tuple[str, str]] = {
    "sev-snp": ("HOST_DATA", "sha256"),
    "sev-snp-gpu": ("HOST_DATA", "sha256"),
    "tdx": ("MRCONFIGID", "sha384"),
    "tdx-gpu": ("MRCONFIGID", "sha384"),
    "sgx": ("CONFIGID", "sha512"),
    "arm-cca": ("personalization value", "sha512"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the machine's evidence is found. It belongs to the image: an outside configuration may not say any of it."""

    provider: str = "auto"
    tcti: str = "device:/dev/tpmrm0"
    ak_kind: AkKind = "ecc"
    ak_handle: int | None = None  # a persistent handle that already holds the AK
    ek_handle: int | None = None  # a persistent handle that already holds the EK
    pcrs: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15)
    event_log: str = "/sys/kernel/security/tpm0/binary_bios_measurements"  # "" for none
    # The kernel's list of measured files, "" for none: /sys/kernel/security/ima/ascii_runtime_measurements. PCR 10 is quoted with it.
    ima_list: str = ""
    config_pcr: int = 15
    configfs: str = "/sys/kernel/config/tsm/report"
    cc_event_log: str = "/sys/firmware/acpi/tables/data/CCEL"  # configfs-tsm: a TD's boot log, "" for none
    privlevel: int | None = None  # configfs-tsm: the VMPL to ask for, None for the kernel's default
    simulated_scheme: SimulatedScheme = "sev-snp"
    simulated_host_data: bytes = b""  # what the forged host fixed at launch (``SIMULATED_FIXED``), b"" for zeros
    lock_folder: str = "/run/lock"


class Provider(Protocol):
    """What evidence comes from."""

    @property
    def scheme(self) -> str:
        """The scheme of the envelopes that ``collect`` makes."""
        ...

    @property
    def size(self) -> Literal["whole", "short"]:
        """Which size of the binding digest this evidence carries: 64 bytes or 32."""
        ...

    def collect(self, digest: BindingDigest) -> Envelope:
        """Make fresh evidence that carries the digest. Raises ``CannotDecide('attester.<provider>.…')``."""
        ...

    def measure_config(self, config: bytes) -> None:
        """Measure the configuration's exact bytes, or compare them with what was fixed at launch.

        Raises ``EvidenceRejected('attester.config.measured')``; until this returned, no byte of it may be obeyed.
        """
        ...

    def close(self) -> None:
        """Release the device."""
        ...


@dataclass(frozen=True, slots=True)
class EnrolmentIdentity:
    """What an enrolment sends: DER certificates leaf first, TPMT_PUBLIC of both keys, and the AK's Name."""

    ek_chain: tuple[bytes, ...]
    ek_public: bytes
    ak_public: bytes
    ak_name: bytes
    ek_digest: bytes  # SHA-256 of the EK's SubjectPublicKeyInfo: what an operator puts on the tenant's list


@runtime_checkable
class EnrollableProvider(Provider, Protocol):
    """A provider whose key has to be enrolled: a TPM."""

    def enrolment_identity(self, chain_file: str = "") -> EnrolmentIdentity:
        """Return what names this TPM. ``chain_file`` holds the certificates that the TPM does not (PEM, leaf first)."""
        ...

    def activate(self, credential_blob: bytes, encrypted_secret: bytes, chain_file: str = "") -> bytes:
        """Open a credential made for this EK and this AK (contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET)."""
        ...


# name -> "module:function"; the function takes a Machine.
PROVIDERS: dict[str, str] = {
    "configfs-tsm": "attester.providers.configfs_tsm:open_provider",
    "simulated": "attester.providers.simulated:open_provider",
    "tpm2": "attester.providers.tpm2:open_provider",
}

# What a provider needs beyond what every attester has: import package -> extra of this distribution that brings it.
_EXTRAS = {"forge": "simulated", "tpm2_pytss": "tpm2"}


def detect(machine: Machine) -> str:
    """Name the provider of this machine: a CPU's report before a TPM's quote. Never ``simulated``: that must be named."""
    if machine.provider != "auto":
        if machine.provider not in PROVIDERS:
            raise ConfigError("settings", "provider", machine.provider, f"auto, {', '.join(sorted(PROVIDERS))}")
        return machine.provider
    if Path(machine.configfs).is_dir():
        return "configfs-tsm"
    device = machine.tcti.removeprefix("device:")
    if not machine.tcti.startswith("device:") or Path(device).exists():
        return "tpm2"
    looked = f"neither {machine.configfs} nor {device} is there; name a provider with --provider"
    raise CannotDecide(AttesterId.PROVIDER_ABSENT, f"provider: {looked}")


@contextlib.contextmanager
def opened(machine: Machine) -> Iterator[Provider]:
    """Open the machine's provider and close it again. ``ConfigError`` for one whose extra is not installed."""
    name = detect(machine)
    module, _, function = PROVIDERS[name].partition(":")
    try:
        open_provider: Callable[[Machine], Provider] = getattr(importlib.import_module(module), function)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        want = f"the extra {extra!r}, installed with: pip install 'vault-attestation-bridge[{extra}]'"
        raise ConfigError("settings", "provider", name, want) from None
    provider = open_provider(machine)
    try:
        yield provider
    finally:
        provider.close()
