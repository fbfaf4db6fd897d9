"""What a trust owner writes of an EC2 instance with NitroTPM. PCR values are those of the SHA-384 bank, hex in lower case."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from verifier.tee.aws_nitro.identity import PlatformValues, Sha384Hex
from verifier.tee.aws_nitrotpm.layout import CONFIG_PCR, FIRMWARE_LAST
from verifier.tee.scheme import Values
from verifier.tee.tpm2.identity import FirmwareIndex, WorkloadIndex

__all__ = ["Config", "Exceptions", "Extended", "Firmware", "PlatformValues", "Workload"]

_ZERO: Final = "0" * 96


def _measured(values: dict[str, str]) -> dict[str, str]:
    for index, value in values.items():
        if int(index) <= FIRMWARE_LAST and value == _ZERO:
            raise ValueError(f"pcrs.{index}: got all zero, want what firmware measured: nothing is no reference value")
    return values


class Firmware(Values):
    """What started before the boot loader: PCR 0 to 7. ``pcrs`` has all eight, or the policy lists the others in ``unchecked``."""

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType(
        {"pcrs": tuple(str(index) for index in range(FIRMWARE_LAST + 1))}
    )
    pcrs: Annotated[dict[FirmwareIndex, Sha384Hex], Field(min_length=1), AfterValidator(_measured)] | None = None
    secure_boot: bool | None = None  # as a replayed log proves it, before PCR 7's separator


class Workload(Values):
    """What runs: PCR 0 to 15. Only what is named is selected."""

    pcrs: Annotated[dict[WorkloadIndex, Sha384Hex], Field(min_length=1), AfterValidator(_measured)] | None = None


class Extended(Values):
    """A PCR extended once, from zero, with the SHA-384 of the attester's configuration (design.md section 4).

    ``digest: none`` is for an attester that takes no configuration from outside its measured image: the PCR is still zero.
    """

    digest: Sha384Hex | Literal["none"]
    # Not resettable, and none that firmware extends: 8 to 15.
    pcr: Annotated[int, Field(ge=8, le=15)] = CONFIG_PCR


class Config(Values):
    """The attester's own configuration, measured before it was obeyed."""

    extended: Extended | None = None


class Exceptions(Values):
    """No default rule of ``aws-nitrotpm`` knows an exception."""
