"""What a trust owner writes of a vTPM's PCRs: fields that composites put into their identities. SHA-256 bank, lower-case hex."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from verifier.tee.scheme import Values
from verifier.tee.tcg.identity import RegisterRule
from verifier.tee.tpm2.identity import Extended, FirmwareIndex, Rules, Sha256Hex, WorkloadIndex

_FIRMWARE_LAST: Final = 7
_ZERO: Final = "0" * 64
FIRMWARE_PCRS: Final = tuple(str(index) for index in range(_FIRMWARE_LAST + 1))


def _measured(values: dict[str, str]) -> dict[str, str]:
    for index, value in values.items():
        if int(index) <= _FIRMWARE_LAST and value == _ZERO:
            raise ValueError(f"pcrs.{index}: got all zero, want what firmware measured: nothing is no reference value")
    return values


def _of_firmware(rules: tuple[RegisterRule, ...]) -> tuple[RegisterRule, ...]:
    for rule in rules:
        if rule.index > _FIRMWARE_LAST:
            raise ValueError(f"event_log: got register {rule.index}, want 0 to 7 in a firmware identity")
    return rules


class VtpmFirmware(Values):
    """What the guest's own firmware did: PCR 0 to 7, as values, as closed event-log rules, or both."""

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"pcrs": FIRMWARE_PCRS})
    pcrs: Annotated[dict[FirmwareIndex, Sha256Hex], Field(min_length=1), AfterValidator(_measured)] | None = None
    event_log: Annotated[Rules, AfterValidator(_of_firmware)] | None = None
    secure_boot: bool | None = None  # as a replayed log proves it, before PCR 7's separator


class VtpmWorkload(Values):
    """What runs: PCR 0 to 15, as values, as closed event-log rules, or both. Only what is named is selected."""

    pcrs: Annotated[dict[WorkloadIndex, Sha256Hex], Field(min_length=1), AfterValidator(_measured)] | None = None
    event_log: Rules | None = None


class VtpmConfig(Values):
    """The attester's own configuration, extended into a PCR before it was obeyed (PCR 15 unless named)."""

    extended: Extended | None = None
