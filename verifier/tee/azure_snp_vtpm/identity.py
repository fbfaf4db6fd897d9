"""What a trust owner writes: fields of the identity classes, and exceptions that a policy may name.

``firmware`` covers the paravisor (launched by AMD's firmware, judged by the SNP report) and the guest's own firmware (PCR 0 to 7).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from verifier.formats.fields import Hex16, Hex48
from verifier.tee.azure.identity import AzureFirmware, AzurePlatform
from verifier.tee.sev_snp.identity import (
    AbiVersion,
    Exceptions,
    GuestPolicyBits,
    PlatformValues,
)
from verifier.tee.tpm2 import identity as tpm2
from verifier.tee.values import Values

__all__ = ["Config", "Exceptions", "Firmware", "Paravisor", "Platform", "Workload"]
_ZERO: Final = "0" * 96


def _of_something(digests: tuple[str, ...]) -> tuple[str, ...]:
    if _ZERO in digests:
        raise ValueError("paravisor.digests: got all zero, want a measurement or a signer: any guest has no signer")
    return digests


class Paravisor(Values):
    """Who vouches for the AK: the launch measurements that count, or the digests of the key (or author key) that signed the launch."""

    kind: Literal["measurement", "id-key", "author-key"]
    digests: Annotated[
        tuple[Hex48, ...], Field(min_length=1, max_length=64, strict=False), AfterValidator(_of_something)
    ]


class Platform(PlatformValues, AzurePlatform):
    """Class ``platform``: which hardware, how new, whose; which AKs."""


class Firmware(AzureFirmware, tpm2.PcrFirmware):
    """Class ``firmware``: the paravisor and how it was launched, the virtual machine's setup, PCR 0 to 7."""

    paravisor: Paravisor | None = None
    guest_policy: GuestPolicyBits | None = None
    minimum_abi: AbiVersion | None = None
    minimum_guest_svn: Annotated[int, Field(ge=0, le=0xFFFFFFFF)] | None = None
    family_id: Hex16 | None = None
    image_id: Hex16 | None = None


class Workload(tpm2.PcrWorkload):
    """Class ``workload``: boot loader, kernel, applications, by PCRs or the event log."""


class Config(tpm2.Config):
    """Class ``config``: digest of the attester's configuration in a PCR."""
