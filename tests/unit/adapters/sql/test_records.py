"""The record's form and the chain: what is hashed, and that every change of it is found."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.verdicts import make_verdict
from verifier.adapters.sql.records import (
    COLUMNS,
    GENESIS,
    link,
    prepare,
    record_digest,
    stored,
    verify_links,
)
from verifier.core.ports import CommittedRecord, StoredRecord
from verifier.formats.encoding import canonical
from verifier.formats.errors import EvidenceRejected

_TEXT = st.text(st.characters(blacklist_categories=("Cs",)))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


def _chain(length: int) -> list[StoredRecord]:
    records: list[StoredRecord] = []
    last = GENESIS
    for _ in range(length):
        prepared = prepare(make_verdict())
        committed = link(prepared, last)
        records.append(
            stored((committed.seq, last.digest, committed.digest, *prepared.row[:-1], prepared.findings.body))
        )
        last = committed
    return records


@given(source=_TEXT.filter(lambda text: "\x00" not in text), measurement=_TEXT.filter(lambda text: "\x00" not in text))
def test_the_digest_is_over_the_rfc_8785_form_that_the_docstring_names(source: str, measurement: str) -> None:
    """Computed here anew, from the description alone."""
    verdict = make_verdict(source=source, measurement=measurement)
    committed = link(prepare(verdict), CommittedRecord(41, b"\x05" * 32))
    findings = canonical([dict(finding) for finding in verdict.findings])
    form = {
        "seq": "42",
        "prev": "05" * 32,
        "tenant": verdict.tenant,
        "workload_uuid": verdict.workload_uuid,
        "workload": verdict.workload,
        "scheme": verdict.scheme,
        "outcome": verdict.outcome,
        "check_id": verdict.check_id,
        "nonce_hash": hashlib.sha256(verdict.nonce).hexdigest(),
        "nonce_expires_ms": str(verdict.nonce_expires_ms),
        "now_ms": str(verdict.now_ms),
        "policy": verdict.policy,
        "policy_digest": verdict.policy_digest.hex(),
        "instance": verdict.instance,
        "measurement": measurement,
        "jti": verdict.jti,
        "claims_digest": verdict.claims_digest.hex(),
        "token_expires_ms": str(verdict.token_expires_ms),
        "findings_digest": hashlib.sha256(findings).hexdigest(),
        "evidence_digest": hashlib.sha256(verdict.evidence).hexdigest(),
        "source": source,
    }
    assert committed == CommittedRecord(42, hashlib.sha256(canonical(form)).digest())


def test_a_whole_chain_verifies_and_ends_where_it_ends() -> None:
    records = _chain(4)
    assert verify_links(records) == CommittedRecord(4, records[3].digest)
    assert verify_links([]) == GENESIS
    assert verify_links(records[2:], CommittedRecord(2, records[1].digest)) == CommittedRecord(4, records[3].digest)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_field_is_in_the_chain(name: str) -> None:
    records = _chain(3)
    value = getattr(records[1], name)
    changed: Any
    if isinstance(value, int):
        changed = value + 1
    elif isinstance(value, bytes):
        changed = bytes((value[0] ^ 1,)) + value[1:]
    else:
        changed = json.dumps([1]) if name == "findings" else value + "x"
    records[1] = dataclasses.replace(records[1], **{name: changed})
    with pytest.raises(EvidenceRejected, match=r"^service\.record\.chain"):
        verify_links(records)


def test_a_record_that_is_changed_with_its_digest_breaks_the_next_link() -> None:
    records = _chain(3)
    forged = dataclasses.replace(records[1], outcome="refused")
    records[1] = dataclasses.replace(forged, digest=record_digest(forged))
    with pytest.raises(EvidenceRejected, match=r"record 3: prev"):
        verify_links(records)


@pytest.mark.parametrize("order", [(0, 2), (1, 0, 2), (1, 2), (0, 0, 1, 2)])
def test_a_gap_a_swap_a_lost_start_and_a_repetition_are_found(order: tuple[int, ...]) -> None:
    records = _chain(3)
    with pytest.raises(EvidenceRejected, match=r"record\.seq"):
        verify_links([records[index] for index in order])
