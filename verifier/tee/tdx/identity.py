"""What a trust owner writes of TDX: fields of the identity classes, and exceptions that a policy may name. Hex is lower case."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from verifier.formats.fields import Hex8, Hex48
from verifier.tee.dcap.identity import CcRules, PlatformValues
from verifier.tee.tcg.identity import RegisterRule
from verifier.tee.values import Values

__all__ = ["ConfigValues", "Exceptions", "FirmwareValues", "PlatformValues", "WorkloadValues"]


class Attributes(Values):
    """TDATTRIBUTES, bit by bit. The group TUD, SEPT_VE_DISABLE and MIGRATABLE are the service's rules."""

    pks: bool | None = None
    key_locker: bool | None = None
    perfmon: bool | None = None


def _firmware_registers(rules: tuple[RegisterRule, ...]) -> tuple[RegisterRule, ...]:
    for rule in rules:
        if rule.index != 1:
            raise ValueError(f"event_log: got register {rule.index}, want 1 (RTMR0) in a firmware identity")
    return rules


class FirmwareValues(Values):
    """Class ``firmware``: the TDX module, the TD's virtual firmware and how the TD was made."""

    mrseam: Annotated[tuple[Hex48, ...], Field(min_length=1, max_length=64, strict=False)] | None = None
    mrtd: Annotated[tuple[Hex48, ...], Field(min_length=1, max_length=64, strict=False)] | None = None
    tdattributes: Attributes | None = None
    xfam: Hex8 | None = None
    mrowner: Hex48 | None = None
    mrownerconfig: Hex48 | None = None
    rtmr0: Hex48 | None = None
    event_log: Annotated[CcRules, AfterValidator(_firmware_registers)] | None = None
    secure_boot: bool | None = None  # as a replayed log proves it, before RTMR0's separator


class WorkloadValues(Values):
    """Class ``workload``: what firmware started and what runs, as values, as closed event-log rules, or both.

    ``rtmrs`` has ``1``, ``2`` and ``3``, or the policy lists the others in ``unchecked`` (``workload.rtmrs.3``).
    """

    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({"rtmrs": ("1", "2", "3")})
    rtmrs: Annotated[dict[Literal["1", "2", "3"], Hex48], Field(min_length=1)] | None = None
    event_log: CcRules | None = None


class Measured(Values):
    """Where the SHA-384 of the attester's configuration stands, and what it is.

    ``mrconfigid``: given to the TD at launch. ``rtmr3``: extended once, from zero, before it was obeyed. ``none``: the register
    is still zero, for an attester that takes no configuration from outside its measured image.
    """

    place: Literal["mrconfigid", "rtmr3"]
    digest: Hex48 | Literal["none"]


class ConfigValues(Values):
    """Class ``config``: the attester's own configuration, measured before it is obeyed."""

    measured: Measured | None = None


class Exceptions(Values):
    """What an appraisal policy may except from the service's rules. Values in hex stand for the zeros that are wanted else."""

    allow_debug: bool | None = None
    allow_sept_ve: bool | None = None
    allow_migratable: bool | None = None
    allow_unknown_tdattributes: bool | None = None
    mrservicetd: Hex48 | None = None
    mrsignerseam: Hex48 | None = None
    seamattributes: Hex8 | None = None
