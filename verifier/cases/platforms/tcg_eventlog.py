"""Cases of platform ``tcg-eventlog``: a log judged by replay against given registers. No scheme: nothing here ever mints.

What is checked: every register of ``expected_registers.json``, in every bank it names, equals the log's replay; with
``check_event_data`` also that event data hash to their digests. What is not: who says that the registers are a machine's.
"""

from __future__ import annotations

from typing import Any

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import expected_file, register_claims, required, switch
from verifier.cases.words import words_of
from verifier.formats.errors import named
from verifier.tee.tcg.banks import Banks, as_written_strictly, decode_banks
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import require_data
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import HASHES_BY_NAME, EventLog
from verifier.tee.tcg.replay import require_replay

DECODE_LOG = "tcg-eventlog.decode.eventlog"
DECODE_REGISTERS = "tcg-eventlog.decode.registers"
REPLAY = "tcg-eventlog.replay"
DATA = "tcg-eventlog.data"

_LOG_FILE = "eventlog.bin"
_REGISTERS_FILE = "expected_registers.json"
_ALL_REGISTERS = frozenset(range(24))


def _registers(files: CaseFiles) -> Banks:
    found = expected_file(files, _REGISTERS_FILE)
    data = required(found, _REGISTERS_FILE, DECODE_REGISTERS, "the registers that the log has to replay to")
    return decode_banks(as_written_strictly(data), DECODE_REGISTERS, _REGISTERS_FILE)


def _log(files: CaseFiles) -> EventLog:
    data = required(files.evidence.get(_LOG_FILE), _LOG_FILE, DECODE_LOG, "an event log")
    return decode_log(data, check_id=DECODE_LOG)


def _register_claims(files: CaseFiles) -> dict[str, Any]:
    return register_claims(_registers(files))


def _claims(files: CaseFiles) -> dict[str, Any]:
    return {**_register_claims(files), "log": log_claims(_log(files))}


def _judge(files: CaseFiles) -> CaseVerdict:
    check_data = switch(files.policy, "check_event_data")
    log = _log(files)
    for bank, want in _registers(files).items():
        with named(REPLAY):
            require_replay(log, HASHES_BY_NAME[bank], want, must_explain=_ALL_REGISTERS)
    if check_data:
        with named(DATA):
            require_data(log)
    return CaseVerdict()


CASE = CaseForm(
    platform="tcg-eventlog",
    policy_keys=frozenset(("check_event_data",)),
    claims=_claims,
    judge=_judge,
    fallback_claims=_register_claims,
    words=words_of("tcg_eventlog"),
)
