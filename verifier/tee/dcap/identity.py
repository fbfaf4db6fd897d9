"""What a trust owner writes of an Intel platform: class ``platform``, the same for ``sgx`` and ``tdx``. Hex is lower case."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from verifier.tee.dcap.collateral import LevelStatus, RelaunchStatus
from verifier.tee.tcg.identity import RegisterRule
from verifier.tee.values import Values

# ``ppid:`` names a processor, ``piid:`` a platform instance (Platform CA only), both as in the PCK certificate.
Chip = Annotated[str, StringConstraints(pattern=r"^(?:ppid|piid):[0-9a-f]{32}$")]
Advisory = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])$")]
# Revoked and NotSupported cannot be accepted.
Status = Literal[LevelStatus, RelaunchStatus]


class PlatformValues(Values):
    """Class ``platform``: whose hardware, how new, which machines."""

    root: Literal["vendor", "private", "simulated"] | None = None
    accepted_tcb_statuses: Annotated[tuple[Status, ...], Field(min_length=1, strict=False)] | None = None
    # Every advisory that the platform's levels name has to be listed; none listed: none may be open.
    allowed_advisories: Annotated[tuple[Advisory, ...], Field(max_length=1024, strict=False)] | None = None
    refused_advisories: Annotated[tuple[Advisory, ...], Field(max_length=1024, strict=False)] | None = None
    minimum_tcb_date: Day | None = None
    # Of the TCB info: several are in force on one day and give different verdicts.
    minimum_evaluation_number: Annotated[int, Field(ge=0, le=0xFFFF_FFFF)] | None = None
    chip_allow: Annotated[tuple[Chip, ...], Field(min_length=1, strict=False)] | None = None
    chip_deny: Annotated[tuple[Chip, ...], Field(strict=False)] | None = None


def _each_register_once(rules: tuple[RegisterRule, ...]) -> tuple[RegisterRule, ...]:
    indexes = [rule.index for rule in rules]
    if len(set(indexes)) != len(indexes) or not set(indexes) <= {1, 2, 3, 4}:
        raise ValueError(f"event_log: got registers {indexes}, want CC registers 1 to 4 (RTMR0 to RTMR3), each once")
    return rules


# Closed rules over a CCEL log: index 1 to 4, digests are SHA-384.
CcRules = Annotated[
    tuple[RegisterRule, ...], Field(min_length=1, max_length=4, strict=False), AfterValidator(_each_register_once)
]
