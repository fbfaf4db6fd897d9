"""Cases of platform ``tcg-eventlog``: a log judged by replay against given registers. No scheme: nothing here ever mints.

What is checked: every register of ``expected_registers.json``, in every bank it names, equals the log's replay; with
``check_event_data`` also that event data hash to their digests. What is not: who says that the registers are a machine's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from verifier.tee.case import CaseError, CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.tee.tcg.banks import Banks, as_written_strictly, decode_banks
from verifier.tee.tcg.data import require_data, secure_boot_claim
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import HASHES, HASHES_BY_NAME, EventLog, type_name
from verifier.tee.tcg.replay import extended, require_replay
from verifier.tee.tcg.words import REMEDIES, WORDS

DECODE_LOG = "tcg-eventlog.decode.eventlog"
DECODE_REGISTERS = "tcg-eventlog.decode.registers"
REPLAY = "tcg-eventlog.replay"
DATA = "tcg-eventlog.data"

_LOG_FILE = "eventlog.bin"
_REGISTERS_FILE = "expected_registers.json"
_ALL_REGISTERS = frozenset(range(24))


def log_claims(log: EventLog, *, secure_boot_register: int = 7) -> dict[str, Any]:
    """Say what a log holds, in the notation of the cases. What the bytes say, not what may be trusted."""
    types = Counter(type_name(e.type) for e in log.events)
    return {
        "events": len(log.events),
        "algorithms": [HASHES[a].name if a in HASHES else f"0x{a:04x}" for a, _ in log.algorithms],
        "spec_id": log.spec_id,
        "event_types": dict(sorted(types.items())),
        "secure_boot": secure_boot_claim(log, secure_boot_register),
        "indexes": sorted({e.register for e in extended(log)}),
        "bytes_used": log.bytes_used,
    }


def _registers(files: CaseFiles) -> Banks:
    data = files.collateral.get(_REGISTERS_FILE, files.evidence.get(_REGISTERS_FILE))
    if data is None:
        raise IncompleteCase(
            DECODE_REGISTERS, f"{_REGISTERS_FILE}: got nothing, want the registers that the log has to replay to"
        )
    return decode_banks(as_written_strictly(data), DECODE_REGISTERS, _REGISTERS_FILE)


def _log(files: CaseFiles) -> EventLog:
    data = files.evidence.get(_LOG_FILE)
    if data is None:
        raise IncompleteCase(DECODE_LOG, f"{_LOG_FILE}: got nothing, want an event log")
    return decode_log(data, check_id=DECODE_LOG)


def _register_claims(files: CaseFiles) -> dict[str, Any]:
    banks = _registers(files)
    return {"registers": {bank: {str(i): v.hex() for i, v in values.items()} for bank, values in banks.items()}}


def _claims(files: CaseFiles) -> dict[str, Any]:
    return {**_register_claims(files), "log": log_claims(_log(files))}


def _judge(files: CaseFiles) -> CaseVerdict:
    check_data = files.policy.get("check_event_data", False)
    if not isinstance(check_data, bool):
        raise CaseError(f"policy.check_event_data: got {check_data!r}, want true or false")
    log = _log(files)
    for bank, want in _registers(files).items():
        require_replay(log, HASHES_BY_NAME[bank], want, must_explain=_ALL_REGISTERS, check_id=REPLAY)
    if check_data:
        require_data(log, check_id=DATA)
    return CaseVerdict()


CASE = CaseForm(
    platform="tcg-eventlog",
    policy_keys=frozenset(("check_event_data",)),
    claims=_claims,
    judge=_judge,
    fallback_claims=_register_claims,
    words=WORDS,
    remedies=REMEDIES,
)
