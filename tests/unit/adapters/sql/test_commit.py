"""Committing a verdict: one transaction spends the nonce and writes the record, or says why not."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from tests.support.stores import SEALER, SKEW_MS, clock_ms, last_record_ms
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.records import MAX_REFUSED_EVIDENCE
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.adapters.sql.writer import Writer
from verifier.core.ports import CommittedRecord, VerdictRecord
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected


def _committed(store: SqlStore, verdict: VerdictRecord) -> CommittedRecord | BridgeError:
    try:
        return store.commit_verdict(verdict)
    except BridgeError as refusal:
        return refusal


@contextmanager
def _held_back(store: SqlStore) -> Iterator[Writer]:
    """Do without the writer's thread, so that whatever is committed meanwhile becomes one group afterwards."""
    writer = store._owned.here().writer
    writer.close()
    writer._closed = False
    writer._thread = threading.current_thread()
    yield writer
    writer._thread = None
    writer._start()


def _commit_as_group(store: SqlStore, verdicts: list[VerdictRecord]) -> list[CommittedRecord | BridgeError]:
    outcomes: dict[int, CommittedRecord | BridgeError] = {}

    def commit(index: int) -> None:
        outcomes[index] = _committed(store, verdicts[index])

    threads = [threading.Thread(target=commit, args=(index,)) for index in range(len(verdicts))]
    with _held_back(store) as writer:
        for thread in threads:
            thread.start()
        while writer._queue.qsize() < len(threads):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    return [outcomes[index] for index in range(len(verdicts))]


def test_a_record_is_kept_whole(store: SqlStore) -> None:
    verdict = make_verdict()
    committed = store.commit_verdict(verdict)
    record = store.record(committed.seq)
    assert record is not None
    assert (record.seq, record.prev, record.digest) == (1, bytes(32), committed.digest)
    same = {field.name for field in dataclasses.fields(VerdictRecord)} - {"nonce", "findings", "evidence"}
    assert {name: getattr(record, name) for name in same} == {name: getattr(verdict, name) for name in same}
    assert record.nonce_hash == hashlib.sha256(verdict.nonce).digest()
    assert json.loads(record.findings) == list(verdict.findings)
    assert record.evidence_digest == hashlib.sha256(verdict.evidence).digest()
    assert store.evidence(record.evidence_digest) == verdict.evidence
    assert last_record_ms(store) == verdict.now_ms
    assert store.record(2) is None
    assert store.evidence(bytes(32)) is None


def test_the_nonce_itself_is_not_kept(sqlite_store: SqlStore) -> None:
    verdict = make_verdict()
    sqlite_store.commit_verdict(verdict)
    with sqlite_store._database.read() as connection:
        dump = "\n".join(connection.connection.iterdump())  # type: ignore[attr-defined]
    assert hashlib.sha256(verdict.nonce).hexdigest().upper() in dump.upper()
    assert verdict.nonce.hex().upper() not in dump.upper()


def test_records_come_in_order_and_in_portions(store: SqlStore) -> None:
    for _ in range(5):
        store.commit_verdict(make_verdict())
    assert [record.seq for record in store.records_after(0, 3)] == [1, 2, 3]
    assert [record.seq for record in store.records_after(3, 10)] == [4, 5]
    assert store.records_after(5, 10) == []


def test_a_nonce_is_spent_once(store: SqlStore) -> None:
    verdict = make_verdict()
    store.commit_verdict(verdict)
    with pytest.raises(EvidenceRejected, match=r"^service\.nonce\.spent"):
        store.commit_verdict(make_verdict(nonce=verdict.nonce))
    assert len(store.records_after(0, 10)) == 1


def test_a_refusal_spends_too_and_many_share_the_empty_jti(store: SqlStore) -> None:
    refused = {"outcome": "refused", "check_id": "sev-snp.rule.debug", "jti": "", "claims_digest": b""}
    first = make_verdict(**refused)
    store.commit_verdict(first)
    store.commit_verdict(make_verdict(**refused))
    with pytest.raises(EvidenceRejected, match=r"^service\.nonce\.spent"):
        store.commit_verdict(make_verdict(nonce=first.nonce))


@pytest.mark.parametrize(
    ("off_ms", "said"),
    [
        (-SKEW_MS - 500, r"^service\.store.*the request waited"),
        (SKEW_MS + 500, r"^service\.clock.*off the store's clock"),
    ],
)
def test_a_time_off_the_stores_clock_is_undecided_and_spends_nothing(store: SqlStore, off_ms: int, said: str) -> None:
    """The machine's clock agrees with the store's: an old time has waited, and is no fault of a clock."""
    verdict = make_verdict(now_ms=clock_ms(store) + off_ms)
    with pytest.raises(CannotDecide, match=said):
        store.commit_verdict(verdict)
    assert store.records_after(0, 10) == []
    assert store.commit_verdict(make_verdict(nonce=verdict.nonce)).seq == 1


@pytest.mark.parametrize("off_ms", [-SKEW_MS + 1500, SKEW_MS - 1500])
def test_a_time_within_the_skew_is_taken(store: SqlStore, off_ms: int) -> None:
    assert store.commit_verdict(make_verdict(now_ms=clock_ms(store) + off_ms)).seq == 1


def test_a_time_before_the_last_record_is_undecided(store: SqlStore) -> None:
    now_ms = clock_ms(store)
    store.commit_verdict(make_verdict(now_ms=now_ms + 4000))
    with pytest.raises(CannotDecide, match=r"^service\.clock.*before the last record"):
        store.commit_verdict(make_verdict(now_ms=now_ms - 2000))
    # The newest time counts, not the last record's: else the clock could be walked back in steps.
    store.commit_verdict(make_verdict(now_ms=now_ms))
    assert last_record_ms(store) == now_ms + 4000
    with pytest.raises(CannotDecide, match=r"^service\.clock.*before the last record"):
        store.commit_verdict(make_verdict(now_ms=now_ms - 2000))


def test_a_nonce_whose_spent_row_may_be_purged_is_refused(store: SqlStore) -> None:
    now_ms = clock_ms(store)
    with pytest.raises(EvidenceRejected, match=r"^service\.nonce\.expired"):
        store.commit_verdict(make_verdict(nonce_expires_ms=now_ms - 2 * SKEW_MS))
    assert store.commit_verdict(make_verdict(nonce_expires_ms=now_ms - 2 * SKEW_MS + 3000)).seq == 1


def test_the_store_has_its_own_clock_in_milliseconds(store: SqlStore) -> None:
    before = make_verdict().now_ms
    seen = clock_ms(store)
    assert before - 2 <= seen <= make_verdict().now_ms + 2


def _count_transactions(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by the size of every group that is tried."""
    writer = store._owned.here().writer
    sizes: list[int] = []
    commit = writer._commit
    monkeypatch.setattr(writer, "_commit", lambda group: (sizes.append(len(group)), commit(group))[1])
    return sizes


def test_in_a_group_a_no_is_its_callers_alone(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    spent = make_verdict()
    store.commit_verdict(spent)
    twice = make_verdict()
    sizes = _count_transactions(store, monkeypatch)
    outcomes = _commit_as_group(
        store,
        [
            make_verdict(),
            make_verdict(),
            make_verdict(nonce=spent.nonce),
            make_verdict(now_ms=spent.now_ms - 60_000),
            twice,
            make_verdict(nonce=twice.nonce),
            make_verdict(),
        ],
    )
    assert sizes == [7]
    said = sorted(outcome.check_id for outcome in outcomes if isinstance(outcome, BridgeError))
    assert said == ["service.nonce.spent", "service.nonce.spent", "service.store"]
    assert sorted(outcome.seq for outcome in outcomes if isinstance(outcome, CommittedRecord)) == [2, 3, 4, 5]
    assert store.verify_chain().seq == 5


def test_in_a_group_a_jti_used_twice_fails_alone(store: SqlStore) -> None:
    first = make_verdict()
    store.commit_verdict(first)
    again = make_verdict(jti=first.jti)
    outcomes = _commit_as_group(store, [make_verdict(), make_verdict(), again, make_verdict()])
    said = [outcome.check_id for outcome in outcomes if isinstance(outcome, BridgeError)]
    assert said == ["service.store"]
    assert len(store.records_after(0, 10)) == 4
    assert store.verify_chain().seq == 4
    # Its nonce was not spent: nothing of it was written.
    assert store.commit_verdict(make_verdict(nonce=again.nonce)).seq == 5


def test_a_group_is_one_transaction(sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits while another transaction is written goes into the next one, all together."""
    sqlite_store.commit_verdict(make_verdict())
    sizes = _count_transactions(sqlite_store, monkeypatch)
    _commit_as_group(sqlite_store, [make_verdict() for _ in range(12)])
    assert sizes == [12]


def test_evidence_that_is_sent_twice_is_kept_once_and_longer(store: SqlStore) -> None:
    for _ in range(2):
        store.commit_verdict(make_verdict(evidence=b"the same"))
    with store._database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM evidence")).scalar_one() == 1


@pytest.mark.parametrize(
    ("outcome", "size", "is_kept"),
    [
        ("refused", MAX_REFUSED_EVIDENCE, True),
        ("refused", MAX_REFUSED_EVIDENCE + 1, False),
        ("accepted", MAX_REFUSED_EVIDENCE + 1, True),
    ],
)
def test_of_large_refused_evidence_only_the_digest_is_kept(
    store: SqlStore, outcome: str, size: int, *, is_kept: bool
) -> None:
    verdict = make_verdict(outcome=outcome, evidence=secrets.token_bytes(size))
    record = store.record(store.commit_verdict(verdict).seq)
    assert record is not None
    assert record.evidence_digest == hashlib.sha256(verdict.evidence).digest()
    assert store.evidence(record.evidence_digest) == (verdict.evidence if is_kept else None)
    store.verify_chain()


def test_without_keeping_evidence_only_its_digest_is_kept(url: str) -> None:
    store = open_store(url, SEALER, keep_evidence=False)
    verdict = make_verdict()
    record = store.record(store.commit_verdict(verdict).seq)
    assert record is not None
    assert record.evidence_digest == hashlib.sha256(verdict.evidence).digest()
    assert store.evidence(record.evidence_digest) is None
    store.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("nonce", b"short"),
        ("source", "a\x00b"),
        ("workload", "\ud800"),
        ("now_ms", 1 << 63),
        ("token_expires_ms", -1),
        ("findings", ({"seen": b"bytes"},)),
        ("findings", ({"seen": "\ud800"},)),
        ("findings", ({"seen": float("nan")},)),
        ("findings", ({1: "a key that is no string"},)),
    ],
)
def test_what_no_database_holds_is_the_callers_mistake_and_stops_nobody(
    sqlite_store: SqlStore, field: str, value: object
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        sqlite_store.commit_verdict(make_verdict(**{field: value}))
    assert sqlite_store.commit_verdict(make_verdict()).seq == 1


def test_a_closed_store_opens_again(store: SqlStore) -> None:
    store.commit_verdict(make_verdict())
    store.close()
    store.close()
    assert store.commit_verdict(make_verdict()).seq == 2
