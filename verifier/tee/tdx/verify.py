"""Is the quote genuine? The checks of ``dcap.verify`` under the name of ``tdx``, and what ties a boot log to the quote."""

from __future__ import annotations

from typing import Final, TypeAlias

from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.verify import checks_of
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.data import DATA_IS_HASHED_STRICTLY, require_data
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tcg.replay import require_replay, zero_register
from verifier.tee.tdx.decode import Evidence
from verifier.tee.tdx.layout import NAME

Tdx: TypeAlias = Subject[Evidence, DcapCollateral]

# RTMR0 to RTMR2 are the boot's. RTMR3 is the application's, which extends it without a line in the log: it has to replay only
# where the log has events for it.
_BOOT_REGISTERS: Final = frozenset({1, 2, 3})


def _check_replay(subject: Tdx) -> None:
    evidence = subject.evidence
    if evidence.log is not None:
        require_replay(
            evidence.log,
            SHA384,
            evidence.registers,
            must_explain=_BOOT_REGISTERS,
            initial=zero_register,
        )


def _check_event_data(subject: Tdx) -> None:
    log = subject.evidence.log
    if log is not None:
        require_data(log, algorithms=(SHA384.id,), types=DATA_IS_HASHED_STRICTLY)


CHECKS: Final[tuple[Check[Evidence, DcapCollateral], ...]] = (
    *checks_of(NAME, has_module=True),
    Check("tdx.eventlog.replay", _check_replay),
    Check("tdx.eventlog.data", _check_event_data),
)
