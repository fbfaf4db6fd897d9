"""Cases of platform ``ima``: a measurement list judged against given values of PCR 10. No scheme: nothing here ever mints.

What is checked: every entry's template hash against its data, and that the whole list replays to every value of
``expected_pcr10.json``. What is not: who says that the values are a machine's, and whether the files are wanted.
"""

from __future__ import annotations

import json
import re
from typing import Any

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import expected_file, required
from verifier.cases.words import words_of
from verifier.formats import strict_json
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.tee.ima.decode import LIST_ID, MeasurementList, decode_list
from verifier.tee.ima.layout import PCR_IMA
from verifier.tee.ima.replay import first_inconsistent, is_padded_sha1, replay_all
from verifier.tee.tcg.banks import as_written_strictly, decode_banks
from verifier.tee.tcg.layout import HASHES_BY_NAME

DECODE_REGISTERS = "ima.decode.expected_pcr10"
TEMPLATE = "ima.template"
REPLAY = "ima.replay"

_FIELDS = 5  # PCR, template hash, template, digest, the rest
_SIGNATURE = re.compile(rb"(?:[0-9a-f]{2})+")
_LIST_FILE = "ascii_runtime_measurements"
_REGISTER_FILE = "expected_pcr10.json"
# A case is no request: whole lists of long-lived machines are larger than what the wire takes.
_MAX_CASE_BYTES, _MAX_CASE_ENTRIES = 64 * 1024 * 1024, 1_000_000


def _list(files: CaseFiles) -> MeasurementList:
    data = required(files.evidence.get(_LIST_FILE), _LIST_FILE, LIST_ID, "a measurement list")
    # The kernel ends every line; an editor may have taken the last one's end away, and the spaces at the ends of lines.
    lines = [_with_empty_signature(line) for line in data.removesuffix(b"\n").split(b"\n")]
    return decode_list(b"\n".join(lines) + b"\n", max_bytes=_MAX_CASE_BYTES, max_entries=_MAX_CASE_ENTRIES)


def _with_empty_signature(line: bytes) -> bytes:
    """Give a line of a file without a signature its last space back: what stands there then is the path's. The hash decides."""
    parts = line.split(b" ", 4)
    if len(parts) != _FIELDS or parts[2] not in (b"ima-sig", b"ima-sigv2") or line.endswith(b" "):
        return line
    path, _space, last = parts[4].rpartition(b" ")
    return line if path and _SIGNATURE.fullmatch(last) else line + b" "


def _expected(files: CaseFiles) -> dict[str, bytes]:
    """Read ``{bank: hex}``, or ``{bank: {"10": hex}}`` as other cases have registers."""
    found = expected_file(files, _REGISTER_FILE)
    data = required(found, _REGISTER_FILE, DECODE_REGISTERS, "the values that the list has to replay to")
    try:
        document = _nested(strict_json.read(data))
    except ValueError:
        raise MalformedEvidence(DECODE_REGISTERS, f"{_REGISTER_FILE}: not JSON, or a key stands twice") from None
    banks = decode_banks(as_written_strictly(json.dumps(document).encode()), DECODE_REGISTERS, _REGISTER_FILE)
    wanted: dict[str, bytes] = {}
    for bank, values in banks.items():
        if set(values) != {PCR_IMA}:
            got = sorted(values)
            raise MalformedEvidence(DECODE_REGISTERS, f"{_REGISTER_FILE}.{bank}: got PCRs {got}, want {PCR_IMA} alone")
        if HASHES_BY_NAME[bank].new is None:
            raise MalformedEvidence(DECODE_REGISTERS, f"{_REGISTER_FILE}.{bank}: a hash that cannot be computed here")
        wanted[bank] = values[PCR_IMA]
    return wanted


def _nested(document: Any) -> Any:
    """Write ``{bank: hex}`` as ``{bank: {"10": hex}}``."""
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        return document
    return {bank: {str(PCR_IMA): value} for bank, value in document.items()}


def _register_claims(files: CaseFiles) -> dict[str, Any]:
    return {f"pcr{PCR_IMA}_{bank}": value.hex() for bank, value in _expected(files).items()}


def _claims(files: CaseFiles) -> dict[str, Any]:
    """``entries`` counts those whose template hash fits their data, up to the first that does not."""
    found = _list(files)
    wrong = first_inconsistent(found.entries)
    return {
        "entries": len(found.entries) if wrong is None else wrong,
        "template": ",".join(found.templates),
        **_register_claims(files),
    }


def _judge(files: CaseFiles) -> CaseVerdict:
    found, expected = _list(files), _expected(files)
    wrong = first_inconsistent(found.entries)
    if wrong is not None:
        entry = found.entries[wrong]
        where = entry.path.decode("utf-8", "replace")
        raise EvidenceRejected(
            TEMPLATE, f"entry {wrong} ({where}): template hash {entry.template_hash.hex()} is not that of its data"
        )
    for bank, want in expected.items():
        algorithm = HASHES_BY_NAME[bank]
        got = replay_all(found.entries, algorithm)
        if got != want:
            padded = is_padded_sha1(found.entries, algorithm, want)
            why = " (it is what a kernel before 5.8 makes of SHA-1 template hashes)" if padded else ""
            raise EvidenceRejected(
                REPLAY,
                f"{bank} PCR {PCR_IMA}: replay of {len(found.entries)} entries gives {got.hex()}, want {want.hex()}{why}",
            )
    return CaseVerdict()


CASE = CaseForm(
    platform="ima",
    policy_keys=frozenset(("check_event_data",)),  # always done: every template hash is compared with its data
    claims=_claims,
    judge=_judge,
    fallback_claims=_register_claims,
    words=words_of("ima"),
)
