"""Records and their hash chain. Pure.

``digest`` = SHA-256 over the RFC 8785 form of one flat object whose values are all strings: numbers in decimal, bytes in
lower-case hex. Its members are exactly

    seq, prev, tenant, workload_uuid, workload, scheme, outcome, check_id, nonce_hash, nonce_expires_ms, now_ms, policy,
    policy_digest, instance, measurement, jti, claims_digest, token_expires_ms, findings_digest, evidence_digest, source

where ``prev`` is the digest of record ``seq - 1`` (32 zero bytes for record 1), ``nonce_hash`` the SHA-256 of the nonce's
64 bytes, ``findings_digest`` the SHA-256 of the stored findings (their RFC 8785 form in UTF-8) and ``evidence_digest`` the
SHA-256 of the envelope's bytes: findings and evidence may be deleted without breaking the chain.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from verifier.adapters.sql.packing import Packed, Part, pack, pack_findings, unpack_findings
from verifier.core.binding import NONCE_SIZE
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord, StoredRecord, Verdict, VerdictRecord
from verifier.formats.encoding import canonical, sha256
from verifier.formats.errors import EvidenceRejected, mismatch

GENESIS = CommittedRecord(seq=0, digest=bytes(32))

_PLACE = ("seq", "prev", "digest")  # what the writer gives a record
_SAID = tuple(field.name for field in fields(StoredRecord) if field.name not in _PLACE)
COLUMNS = (*_PLACE, *_SAID)
# What is written: findings are kept once for all records that have them, and named here by their digest.
WRITTEN = (*COLUMNS, "findings_digest")
_VERDICT = tuple(field.name for field in fields(Verdict))
_DIGEST_SIZE = 32
# Bytes of the envelope as JSON. The owner of any genuine machine can be refused any number of times, a record each. What
# we keep beside a record is bounded, and for a workload that does not exist it is nothing but the digest.
# An SNP report with its certificates is below 10 KB, an event log mostly below 100 KB in base64.
MAX_REFUSED_EVIDENCE = 128 * 1024
_BIGINT = 1 << 63

_TEXTS = (
    *("tenant", "workload_uuid", "workload", "scheme", "outcome", "check_id"),
    *("policy", "instance", "measurement", "jti", "source"),
)
_NUMBERS = ("nonce_expires_ms", "now_ms", "token_expires_ms")
_BYTES = ("nonce_hash", "policy_digest", "claims_digest", "evidence_digest")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A verdict made ready in its caller's thread; the writer adds number, link and digest."""

    nonce_hash: bytes
    nonce_expires_ms: int
    now_ms: int
    evidence_digest: bytes
    packed: Packed | None  # the evidence itself, where it is kept and not only its digest
    findings: Part
    form: dict[str, str]  # what is hashed, but seq and prev
    row: tuple[Any, ...]  # what is stored, in the order of WRITTEN, but seq, prev and digest


def prepare(record: VerdictRecord, *, keep_evidence: bool = True) -> Prepared:
    """Make a verdict ready to be written. Raises ``ValueError`` for what no database or no JSON can hold: a caller's mistake.

    ``keep_evidence`` is the operator's choice; of refused evidence that is large the digest alone is kept.
    """
    if len(record.nonce) != NONCE_SIZE:
        raise ValueError(f"nonce: got {len(record.nonce)} bytes, want {NONCE_SIZE}")
    given = record.findings
    findings = given if isinstance(given, str) else canonical([dict(finding) for finding in given]).decode()
    values: dict[str, Any] = {name: getattr(record, name) for name in _VERDICT}
    values.update(nonce_hash=sha256(record.nonce), evidence_digest=sha256(record.evidence), findings=findings)
    for name in _TEXTS:
        if "\x00" in values[name]:
            raise ValueError(f"{name}: got a NUL character, want text")
    for name in _NUMBERS:
        if not 0 <= values[name] < _BIGINT:
            raise ValueError(f"{name}: got {values[name]}, want 0 to 2^63 - 1")
    part = pack_findings(findings)
    form = _form(values, part.digest)
    "".join(form.values()).encode("utf-8")  # what cannot be encoded fails here, not in the writer
    # Of a workload that does not exist nothing is kept: any owner of a genuine machine can name one.
    is_bounded = record.workload_uuid != "" and len(record.evidence) <= MAX_REFUSED_EVIDENCE
    is_kept = keep_evidence and (record.outcome == "accepted" or is_bounded)
    return Prepared(
        nonce_hash=values["nonce_hash"],
        nonce_expires_ms=record.nonce_expires_ms,
        now_ms=record.now_ms,
        evidence_digest=values["evidence_digest"],
        packed=pack(record.evidence) if is_kept else None,
        findings=part,
        form=form,
        row=(*(values[name] if name != "findings" else "" for name in _SAID), part.digest),
    )


def link(prepared: Prepared, prev: CommittedRecord) -> CommittedRecord:
    """Give a prepared record its place after ``prev``."""
    seq = prev.seq + 1
    return CommittedRecord(seq, _hash(prepared.form, str(seq), prev.digest.hex()))


def record_digest(record: StoredRecord) -> bytes:
    """Compute a stored record's digest anew, from everything but its digest."""
    values = {name: getattr(record, name) for name in COLUMNS}
    return _hash(_form(values, sha256(record.findings.encode("utf-8"))), str(record.seq), record.prev.hex())


def verify_links(records: Iterable[StoredRecord], start: CommittedRecord = GENESIS) -> CommittedRecord:
    """Walk records from the one after ``start`` and return the last link.

    Checked: numbers without a gap, each ``prev`` the digest before it, each digest recomputed. Not checked: that the
    evidence is kept, and that the last record is the end (``SqlStore.verify_chain`` asks the head for that).
    Raises ``EvidenceRejected('service.record.chain')``.
    """
    last = start
    for record in records:
        if record.seq != last.seq + 1:
            raise EvidenceRejected(ServiceId.RECORD_CHAIN, mismatch("record.seq", record.seq, last.seq + 1))
        if not hmac.compare_digest(record.prev, last.digest):
            raise EvidenceRejected(
                ServiceId.RECORD_CHAIN, mismatch(f"record {record.seq}: prev", record.prev.hex(), last.digest.hex())
            )
        want = record_digest(record)
        if not hmac.compare_digest(record.digest, want):
            raise EvidenceRejected(
                ServiceId.RECORD_CHAIN, mismatch(f"record {record.seq}: digest", record.digest.hex(), want.hex())
            )
        last = CommittedRecord(record.seq, record.digest)
    return last


def stored(row: Sequence[Any]) -> StoredRecord:
    """Make a record of a row in the order of ``COLUMNS``, and after it the kept findings, where it names some.

    What stands in the row itself counts: an older program wrote it, or a hand did, and then the record's digest does not fit.
    Findings that are gone or broken are "", and the digest does not fit either.
    """
    values: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in row]
    kept = values.pop()
    found = dict(zip(COLUMNS, values, strict=True))
    if kept is not None and not found["findings"]:
        try:
            found["findings"] = unpack_findings(kept)
        except ValueError:
            found["findings"] = ""
    return StoredRecord(**found)


def _form(values: Mapping[str, Any], findings_digest: bytes) -> dict[str, str]:
    form: dict[str, str] = {name: values[name] for name in _TEXTS}
    form.update((name, str(values[name])) for name in _NUMBERS)
    form.update((name, values[name].hex()) for name in _BYTES)
    form["findings_digest"] = findings_digest.hex()
    return form


def _hash(form: Mapping[str, str], seq: str, prev: str) -> bytes:
    return sha256(canonical({**form, "seq": seq, "prev": prev}))  # a lone surrogate is a ValueError
