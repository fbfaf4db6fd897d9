"""Cases of platform ``ccel``: a trust domain's boot log judged by replay against given RTMRs. Nothing judged here ever mints.

Checked: every register of ``expected_registers.json`` (without that file: the RTMRs of ``td_quote.bin``) equals the log's replay
from zeros; with ``check_event_data`` also that event data hash to their digests; the ACPI table, where it is there, fits the log;
the IMA list, where it and a quote are there, leads from the log's RTMR2 to the quote's. Not checked: whose quote it is (``tdx``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import expected_file, file_of, readable_claims_of, register_claims, required, switch
from verifier.cases.words import words_of
from verifier.formats.errors import EvidenceRejected, mismatch, named
from verifier.tee.ccel import layout
from verifier.tee.ccel.decode import (
    LOG,
    REGISTERS,
    ImaEntry,
    decode_acpi_table,
    decode_cc_log,
    decode_ima,
    decode_registers,
    rtmrs_of_quote,
    template_holds,
)
from verifier.tee.tcg.banks import Banks, as_written_strictly
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import data_is_digest, require_data
from verifier.tee.tcg.layout import HASHES, HASHES_BY_NAME, SHA384, EventLog, extend
from verifier.tee.tcg.replay import extended, replay, require_replay, zero_register

ACPI_TABLE: Final = "ccel.acpi-table"
REPLAY: Final = "ccel.replay"
DATA: Final = "ccel.data"
IMA_REPLAY: Final = "ccel.ima.replay"
IMA_TEMPLATE: Final = "ccel.ima.template"

_LOG_FILE: Final = "eventlog.bin"
_REGISTERS_FILE: Final = "expected_registers.json"
_QUOTE_FILE: Final = "td_quote.bin"
_TABLE_FILE: Final = "ccel_acpi_table.bin"
_IMA_FILE: Final = "ima_log.txt"


def require_rtmrs(
    log: EventLog,
    want: Mapping[int, bytes],
    *,
    check_id: str,
    bank: str = SHA384.name,
    must_explain: frozenset[int] = layout.CC_REGISTERS,
) -> None:
    """Refuse a log that does not replay to these CC registers, all of which start at zero."""
    with named(check_id):
        require_replay(log, HASHES_BY_NAME[bank], want, must_explain=must_explain, initial=zero_register)


def _log(files: CaseFiles) -> EventLog:
    return decode_cc_log(required(file_of(files, _LOG_FILE), _LOG_FILE, LOG, "a CCEL log"))


def _registers(files: CaseFiles, quoted: Mapping[int, bytes] | None) -> Banks:
    found = expected_file(files, _REGISTERS_FILE)
    if found is None and quoted is not None:
        return {SHA384.name: quoted}
    data = required(found, _REGISTERS_FILE, REGISTERS, "the registers that the log has to replay to")
    return decode_registers(as_written_strictly(data), _REGISTERS_FILE)


def _quoted(files: CaseFiles) -> Mapping[int, bytes] | None:
    data = file_of(files, _QUOTE_FILE)
    return None if data is None else rtmrs_of_quote(data)


def _ima(files: CaseFiles) -> tuple[ImaEntry, ...]:
    data = file_of(files, _IMA_FILE)
    return () if data is None else decode_ima(data)


def _register_claims(files: CaseFiles) -> dict[str, Any]:
    return register_claims(_registers(files, _quoted(files)))


def _claims(files: CaseFiles) -> dict[str, Any]:
    log = _log(files)
    claims = {**_register_claims(files), **_log_claims(files)}
    table = file_of(files, _TABLE_FILE)
    if table is not None:
        read = decode_acpi_table(table)
        claims["acpi_table"] = {"log_size": read.log_size, "cc_type": read.cc_type}
    quoted = _quoted(files)
    if quoted is not None:
        claims["rtmr2_in_quote"] = quoted[layout.RTMR2].hex()
    if SHA384.id in log.banks:
        claims["rtmr2_after_boot_log"] = _after_boot(log).hex()
    entries = _ima(files)
    if len(entries) == 1:
        claims["ima_template_hash"] = entries[0].template_hash.hex()
    return claims


def _log_claims(files: CaseFiles) -> dict[str, Any]:
    return {"log": log_claims(_log(files), secure_boot_register=layout.SECURE_BOOT_REGISTER)}


def _after_boot(log: EventLog) -> bytes:
    return replay(log, SHA384, initial=zero_register).get(layout.RTMR2, bytes(SHA384.size))


def _require_data(log: EventLog) -> None:
    """Compare data with digests where data are what was hashed: the types of every TCG log, and an application's events."""
    with named(DATA):
        require_data(log)
    hashes = [HASHES[a] for a, _ in log.algorithms if a in log.banks]
    for event in extended(log):
        if event.type != layout.EV_EVENT_TAG or not event.data.startswith(layout.AAEL_TAG):
            continue
        if not all(data_is_digest(event, algorithm) for algorithm in hashes):
            raise EvidenceRejected(
                DATA, f"event {event.ordinal} (AAEL, register {event.register}): data do not hash to the digest"
            )


def _require_table(unverified_table: bytes, log: EventLog) -> None:
    table = decode_acpi_table(unverified_table)
    if not table.checksum_holds:
        raise EvidenceRejected(ACPI_TABLE, f"checksum: got sum {sum(unverified_table) % 256}, want 0 modulo 256")
    if table.cc_type != layout.CC_TYPE_TDX:
        raise EvidenceRejected(ACPI_TABLE, mismatch("CC type", table.cc_type, "2 (TDX)"))
    if len(log.raw) > table.log_size:
        raise EvidenceRejected(ACPI_TABLE, mismatch("log", f"{len(log.raw)} bytes", f"at most {table.log_size}"))


def _require_ima(entries: tuple[ImaEntry, ...], log: EventLog, quoted: Mapping[int, bytes], *, data: bool) -> None:
    """Extend the list onto the log's RTMR2. It grows while it is read, so the quote may hold any of its beginnings but none."""
    value, reached = _after_boot(log), 0
    for number, entry in enumerate(entries, start=1):
        value = extend(SHA384, value, entry.template_hash)
        if value == quoted[layout.RTMR2]:
            reached = number
    if not reached:
        raise EvidenceRejected(
            IMA_REPLAY, mismatch("RTMR2 after log and IMA list", value.hex(), quoted[layout.RTMR2].hex())
        )
    for number, entry in enumerate(entries, start=1):
        if data and not template_holds(entry):
            raise EvidenceRejected(IMA_TEMPLATE, f"IMA entry {number} ({entry.template}): data do not hash to its hash")


def _judge(files: CaseFiles) -> CaseVerdict:
    check_data = switch(files.policy, "check_event_data")
    log, quoted, entries = _log(files), _quoted(files), _ima(files)
    table = file_of(files, _TABLE_FILE)
    if table is not None:
        _require_table(table, log)
    for bank, want in _registers(files, quoted).items():
        require_rtmrs(log, want, check_id=REPLAY, bank=bank)
    if check_data:
        _require_data(log)
    if entries and quoted is not None:
        _require_ima(entries, log, quoted, data=check_data)
    return CaseVerdict()


CASE: Final = CaseForm(
    platform="ccel",
    policy_keys=frozenset(("check_event_data",)),
    claims=_claims,
    judge=_judge,
    fallback_claims=partial(readable_claims_of, (_register_claims, _log_claims)),
    words=words_of("ccel"),
)
