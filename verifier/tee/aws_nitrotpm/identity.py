"""What a trust owner writes of an EC2 instance with NitroTPM. PCR values are those of the SHA-384 bank, hex in lower case."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from verifier.formats.fields import Sha384Hex
from verifier.tee.aws_nitro.identity import PlatformValues
from verifier.tee.tpm2 import identity as tpm2
from verifier.tee.tpm2.identity import FIRMWARE_PCRS, FirmwareIndex, WorkloadIndex, measured
from verifier.tee.values import Values

__all__ = ["Config", "Exceptions", "Extended", "Firmware", "PlatformValues", "Workload"]


class Firmware(Values):
    """What started before the boot loader: PCR 0 to 7. ``pcrs`` has all eight, or the policy lists the others in ``unchecked``."""

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"pcrs": FIRMWARE_PCRS})
    pcrs: Annotated[dict[FirmwareIndex, Sha384Hex], Field(min_length=1), AfterValidator(measured)] | None = None
    secure_boot: bool | None = None  # as a replayed log proves it, before PCR 7's separator


class Workload(Values):
    """What runs: PCR 0 to 15. Only what is named is selected."""

    pcrs: Annotated[dict[WorkloadIndex, Sha384Hex], Field(min_length=1), AfterValidator(measured)] | None = None


class Extended(tpm2.Extended):
    """A PCR extended once, from zero, with the SHA-384 of the attester's configuration (docs/attester.md).

    ``digest: none`` is for an attester that takes no configuration from outside its measured image: the PCR is still zero.
    """

    digest: Sha384Hex | Literal["none"]


class Config(Values):
    """The attester's own configuration, measured before it was obeyed."""

    extended: Extended | None = None


class Exceptions(Values):
    """No default rule of ``aws-nitrotpm`` knows an exception."""
