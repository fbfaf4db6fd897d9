"""What a trust owner writes about a TPM's machine: the fields of the identities of scheme ``tpm2`` (docs/tee/tpm2.md).

PCR values are those of the SHA-256 bank, in lower-case hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from verifier.formats.fields import Sha256Hex
from verifier.tee.ima.identity import ImaRules
from verifier.tee.tcg.identity import RegisterRule, SecureBootKeys, Uki
from verifier.tee.values import Values

_FIRMWARE_LAST: Final = 7
FIRMWARE_PCRS: Final = tuple(str(index) for index in range(_FIRMWARE_LAST + 1))
CONFIG_PCR = 15


def measured(values: dict[str, str]) -> dict[str, str]:
    """Refuse the value of a register that firmware extends and that is still all zero."""
    for index, value in values.items():
        if int(index) <= _FIRMWARE_LAST and not value.strip("0"):
            raise ValueError(f"pcrs.{index}: got all zero, want what firmware measured: nothing is no reference value")
    return values


def _each_register_once(rules: tuple[RegisterRule, ...]) -> tuple[RegisterRule, ...]:
    indexes = [rule.index for rule in rules]
    if len(set(indexes)) != len(indexes):
        raise ValueError(f"event_log: got registers {indexes}, want each once")
    return rules


def _firmware_registers(rules: tuple[RegisterRule, ...]) -> tuple[RegisterRule, ...]:
    for rule in rules:
        if rule.index > _FIRMWARE_LAST:
            raise ValueError(f"event_log: got register {rule.index}, want 0 to 7 in a firmware identity")
    return rules


FirmwareIndex = Annotated[str, Field(pattern=r"^[0-7]$")]
# 16 to 23 can be reset by any program on the machine: no reference value of theirs means anything.
WorkloadIndex = Annotated[str, Field(pattern=r"^(?:[0-9]|1[0-5])$")]
Rules = Annotated[
    tuple[RegisterRule, ...], Field(min_length=1, max_length=16, strict=False), AfterValidator(_each_register_once)
]
# SHA-256 of SubjectPublicKeyInfo.
KeyDigests = Annotated[tuple[Sha256Hex, ...], Field(min_length=1, max_length=100_000, strict=False)]


class Platform(Values):
    """Whose TPM it is. ``ek_digests``: SHA-256 of SubjectPublicKeyInfo of the EKs that count here."""

    root: Literal["private", "simulated"] | None = None
    ek_digests: KeyDigests | None = None
    # As TPMS_ATTEST has it: 16 hex digits, compared as one number; a vendor's versions only compare with each other.
    min_firmware_version: Annotated[str, Field(pattern=r"^0x[0-9a-f]{16}$")] | None = None
    # TPMS_CLOCK_INFO.safe: the clock cannot have gone back. Clear for a while after a power cut.
    clock_safe: Literal[True] | None = None


class PcrFirmware(Values):
    """What every TPM and vTPM says of firmware: PCR 0 to 7, as values, as closed event-log rules, or both.

    ``pcrs`` has all eight, or the policy lists the others in ``unchecked`` (``firmware.pcrs.3``).
    """

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"pcrs": FIRMWARE_PCRS})
    pcrs: Annotated[dict[FirmwareIndex, Sha256Hex], Field(min_length=1), AfterValidator(measured)] | None = None
    event_log: Annotated[Rules, AfterValidator(_firmware_registers)] | None = None
    secure_boot: bool | None = None  # as a replayed log proves it, before PCR 7's separator


class PcrWorkload(Values):
    """What every TPM and vTPM says of what runs: PCR 0 to 15, as values, as closed event-log rules, or both.

    Only what is named is selected.
    """

    pcrs: Annotated[dict[WorkloadIndex, Sha256Hex], Field(min_length=1), AfterValidator(measured)] | None = None
    event_log: Rules | None = None


class Firmware(PcrFirmware):
    """What started before the boot loader: PCR 0 to 7, as values, as closed event-log rules, or both.

    ``pcrs`` has all eight, or the policy lists the others in ``unchecked`` (``firmware.pcrs.3``).
    """

    secure_boot_keys: SecureBootKeys | None = None  # that it is on, by which keys, and who vouched for what was started


class Workload(PcrWorkload):
    """What runs: PCR 0 to 15, as values, as closed event-log rules, as a unified kernel image, and the files that it used.

    Only what is named is selected.
    """

    uki: Uki | None = None  # the unified kernel image: PCRs 4, 11 and 12
    ima: ImaRules | None = None  # the measured files, all of them, up to the quoted PCR 10


class Extended(Values):
    """A PCR extended once, from zero, with the SHA-256 of the attester's configuration (docs/attester.md).

    ``digest: none`` is for an attester that takes no configuration from outside its measured image: the PCR is still zero.
    """

    digest: Sha256Hex | Literal["none"]
    # Not resettable, and none that firmware extends: 8 to 15.
    pcr: Annotated[int, Field(ge=8, le=15)] = CONFIG_PCR


class Config(Values):
    """The attester's own configuration, measured before it was obeyed."""

    extended: Extended | None = None


class Exceptions(Values):
    """No default rule of ``tpm2`` knows an exception."""
