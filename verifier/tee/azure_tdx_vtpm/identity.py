"""What a trust owner writes: fields of the identity classes, and exceptions that a policy may name.

``firmware`` covers the paravisor (measured by the TDX module in MRTD) and the guest's own firmware (PCR 0 to 7).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from verifier.formats.fields import Hex8, Hex48
from verifier.tee.azure.identity import AzureFirmware, AzurePlatform
from verifier.tee.dcap.identity import PlatformValues
from verifier.tee.tdx.identity import Attributes, Exceptions
from verifier.tee.tpm2 import identity as tpm2
from verifier.tee.values import Values

__all__ = ["Config", "Exceptions", "Firmware", "Paravisor", "Platform", "Workload"]


class Paravisor(Values):
    """Who vouches for the AK: the MRTDs that count. A TD has no measured signer that could stand in."""

    mrtd: Annotated[tuple[Hex48, ...], Field(min_length=1, max_length=64, strict=False)]


class Platform(PlatformValues, AzurePlatform):
    """Class ``platform``: which hardware, how new, whose; which AKs."""


class Firmware(AzureFirmware, tpm2.PcrFirmware):
    """Class ``firmware``: TDX module, paravisor, how the TD was made, the virtual machine's setup, PCR 0 to 7."""

    paravisor: Paravisor | None = None
    mrseam: Annotated[tuple[Hex48, ...], Field(min_length=1, max_length=64, strict=False)] | None = None
    tdattributes: Attributes | None = None
    xfam: Hex8 | None = None
    mrowner: Hex48 | None = None
    mrownerconfig: Hex48 | None = None


class Workload(tpm2.PcrWorkload):
    """Class ``workload``: boot loader, kernel, applications, by PCRs or the event log."""


class Config(tpm2.Config):
    """Class ``config``: digest of the attester's configuration in a PCR."""
