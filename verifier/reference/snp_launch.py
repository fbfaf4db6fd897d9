"""SNP launch digests by IBM's ``sev-snp-measure``, which reads files: what was hashed for the origin is what it is given.

The library checks little of what it reads and says so by whatever exception comes first; all of them are ``MalformedEvidence``
here. Imported late: only one command needs it.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from verifier.core.ids import ArtifactId
from verifier.formats.errors import ConfigError, MalformedEvidence

VMMS: Final = ("qemu", "ec2", "gce")
MAX_VCPUS: Final = 4096
_FAULTS: Final = (
    ValueError,
    RuntimeError,
    AssertionError,
    LookupError,
    TypeError,
    AttributeError,
    struct.error,
    OSError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What is launched. ``ovmf_digest``: the digest of OVMF's pages alone, which stands for its file where that is not at hand."""

    ovmf: bytes
    kernel: bytes | None
    initrd: bytes | None
    command_line: str
    vcpus: int
    vcpu_signature: int
    guest_features: int
    vmm: str
    ovmf_digest: str = ""


def library() -> str:
    """Name the library and its version, for the origin."""
    return f"sev-snp-measure {version('sev-snp-measure')}"


def vcpu_signature(text: str) -> int:
    """Return CPUID 1 EAX of a QEMU CPU model, or of a number (``0x00a00f11``)."""
    from sevsnpmeasure import vcpu_types

    if text in vcpu_types.CPU_SIGS:
        return int(vcpu_types.CPU_SIGS[text])
    try:
        value = int(text, 16) if text.lower().startswith("0x") else -1
    except ValueError:
        value = -1
    if not 0 < value < 1 << 32:
        raise ConfigError(
            "--vcpu-type", "model", text, f"0x and CPUID 1 EAX, or one of {', '.join(vcpu_types.CPU_SIGS)}"
        )
    return value


def launch_digest(launch: Launch) -> str:
    """Compute the digest, in hex. Raises ``MalformedEvidence`` for artifacts that the library cannot make sense of."""
    from sevsnpmeasure import guest
    from sevsnpmeasure.sev_mode import SevMode
    from sevsnpmeasure.vmm_types import VMMType

    if launch.kernel is None and (launch.initrd is not None or launch.command_line):
        raise ConfigError("--initrd, --append", "kernel", "none", "--kernel: without one nothing measures them")
    with tempfile.TemporaryDirectory(prefix="verifier-measure-") as folder:
        paths = [
            _put(Path(folder), *one)
            for one in (("ovmf", launch.ovmf), ("kernel", launch.kernel), ("initrd", launch.initrd))
        ]
        try:
            digest = guest.calc_launch_digest(
                SevMode.SEV_SNP,
                launch.vcpus,
                launch.vcpu_signature,
                *paths,
                launch.command_line,
                launch.guest_features,
                launch.ovmf_digest,
                vmm_type=VMMType.QEMU if launch.vmm == "qemu" else VMMType[launch.vmm],
            )
        except _FAULTS as error:
            raise MalformedEvidence(
                ArtifactId.OVMF, f"OVMF: got {type(error).__name__} ({error}), want firmware built for SEV-SNP"
            ) from None
    return bytes(digest).hex()


def _put(folder: Path, name: str, data: bytes | None) -> str:
    if data is None:
        return ""
    path = folder / name
    path.write_bytes(data)
    return str(path)
