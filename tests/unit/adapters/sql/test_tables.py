"""What else the store keeps: epoch, trust documents, TPMs, marks, leases; and what purge takes away."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, text

from tests.support.stores import SEALER, SKEW_MS, clock_ms, last_record_ms
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.engine import Database
from verifier.adapters.sql.standing import EPOCH_STEP_MS, EPOCHS, next_epoch
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import EnrolledAk, TrustRow
from verifier.formats.errors import ConfigError, EvidenceRejected

MANY = 100_000

AK = EnrolledAk(
    tenant="default",
    ak_name=b"\x00\x0b" + b"\x07" * 32,
    ak_public=b"public",
    ek_public_digest=b"\x08" * 32,
    ek_name=b"\x00\x0b" + b"\x09" * 32,
    root="private",
    enrolled_at_ms=1_700_000_000_000,
)
TICKET = b"\x0a" * 32
FAR_MS = 1 << 60  # a time that stops no purge: then the store's clock decides


def _rows(count: int) -> Iterator[TrustRow]:
    for number in range(count):
        yield TrustRow("workload", "default", f"w-{number:06}", 1, f'{{"name":"w-{number:06}","pad":"{"x" * 200}"}}')


def test_an_empty_store_stands_at_nothing(store: SqlStore) -> None:
    assert (last_record_ms(store), store.trust_digest()) == (0, "")
    assert store.verify_chain() == store.head()
    assert store.head().seq == 0


def test_a_store_is_of_one_kind_for_good(url: str) -> None:
    """Forged TEEs have a store of their own, and production another."""
    for _ in range(2):
        store = open_store(url, SEALER)
        store.reserve(simulated=True)
        store.close()
    other = open_store(url, SEALER)
    with pytest.raises(ConfigError, match="a simulated process"):
        other.reserve(simulated=False)


def test_raising_the_epoch_gives_another_that_fits_the_nonce(store: SqlStore) -> None:
    seen = [store.epoch()]
    for _ in range(5):
        raised = store.raise_epoch()
        assert raised == store.epoch()
        assert 0 <= raised < 1 << 16
        seen.append(raised)
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("ahead", [0, 1, EPOCHS - 1, EPOCHS, EPOCHS + 1, 7 * EPOCHS])
def test_the_next_epoch_never_looks_like_the_last_one(ahead: int) -> None:
    """Only 16 bits of it are in a nonce: where the clock's number has the same ones, challenges would live on."""
    seen = 88_000_000
    raised = next_epoch(seen, (seen + ahead) * EPOCH_STEP_MS)
    assert raised > seen
    assert raised >= seen + ahead
    assert raised % EPOCHS != seen % EPOCHS


def test_a_restored_backup_does_not_come_back_to_an_epoch_used_since(store: SqlStore) -> None:
    """Counting on by one would: the backup's next epoch is the one that followed the backup."""
    store.raise_epoch()
    with store._database.read() as connection:
        number, seal = connection.execute(text("SELECT number, seal FROM standing WHERE name = 'epoch'")).one()
    since = {store.raise_epoch() for _ in range(3)}
    time.sleep(0.1)  # a restore takes longer than what the epochs are ahead of the clock by
    with store._database.write() as connection:
        back = text("UPDATE standing SET number = :number, seal = :seal WHERE name = 'epoch'")
        connection.execute(back, {"number": number, "seal": seal})
    assert store.raise_epoch() not in since


def test_two_new_stores_do_not_begin_at_one_fixed_epoch(store: SqlStore) -> None:
    with store._database.read() as connection:
        number = connection.execute(text("SELECT number FROM standing WHERE name = 'epoch'")).scalar_one()
    assert abs(number / 50 - time.time()) < 60


def test_trust_documents_are_replaced_as_a_whole(store: SqlStore) -> None:
    rows = [
        TrustRow("policy", "default", "strict", 9, "nine"),
        TrustRow("policy", "default", "strict", 10, "ten"),
        TrustRow("policy", "other", "strict", 11, "eleven"),
        TrustRow("identity", "default", "strict", 12, "twelve"),
    ]
    store.replace_trust("d1", iter(rows))
    assert store.trust_digest() == "d1"
    assert store.trust_document("policy", "default", "strict") == "ten"
    assert store.trust_document("policy", "default", "strict", 9) == "nine"
    assert store.trust_document("policy", "default", "strict", 8) is None
    assert store.trust_document("workload", "default", "strict") is None
    store.replace_trust("d2", rows[:1])
    assert (store.trust_digest(), store.trust_document("policy", "default", "strict")) == ("d2", "nine")
    assert store.trust_document("identity", "default", "strict") is None


def test_a_replacement_that_fails_changes_nothing(store: SqlStore) -> None:
    store.replace_trust("d1", [TrustRow("policy", "default", "strict", 1, "one")])

    def broken() -> Iterator[TrustRow]:
        yield TrustRow("policy", "default", "strict", 2, "two")
        raise ValueError("a document that does not load")

    with pytest.raises(ValueError, match="does not load"):
        store.replace_trust("d2", broken())
    assert (store.trust_digest(), store.trust_document("policy", "default", "strict")) == ("d1", "one")


def _lookup_us(store: SqlStore, names: list[str]) -> float:
    samples = []
    for name in names:
        begin = time.perf_counter()
        assert store.trust_document("workload", "default", name) is not None
        samples.append(time.perf_counter() - begin)
    return statistics.median(samples) * 1e6


@pytest.mark.slow
def test_a_hundred_thousand_documents_load_at_once_and_are_found_like_ten(store: SqlStore) -> None:
    store.replace_trust("ten", _rows(10))
    few = _lookup_us(store, [f"w-{number % 10:06}" for number in range(400)])
    store.replace_trust("many", _rows(MANY))
    many = _lookup_us(store, [f"w-{number * 249:06}" for number in range(400)])
    # Wide margins for a busy machine: a scan of 100,000 rows would take a hundred times as long.
    assert many < 3 * few


def test_documents_are_found_by_the_index(sqlite_store: SqlStore) -> None:
    plan = (
        "EXPLAIN QUERY PLAN SELECT body FROM trust_documents"
        " WHERE kind = 'a' AND tenant = 'b' AND name = 'c' ORDER BY version DESC LIMIT 1"
    )
    with sqlite_store._database.read() as connection:
        steps = [row[3] for row in connection.execute(text(plan))]
    assert steps == ["SEARCH trust_documents USING PRIMARY KEY (kind=? AND tenant=? AND name=?)"]


def test_an_enrolled_ak_is_found_by_tenant_and_name(store: SqlStore) -> None:
    store.enrol_ak(AK, None)
    assert store.find_ak("default", AK.ak_name) == AK
    assert store.find_ak("other", AK.ak_name) is None
    assert store.find_ak("default", AK.ak_name[:-1] + b"\x00") is None
    newer = dataclasses.replace(AK, ek_public_digest=b"\x0b" * 32, enrolled_at_ms=1_800_000_000_000)
    store.enrol_ak(newer, None)
    assert store.find_ak("default", AK.ak_name) == newer


def test_a_ticket_enrols_one_ak(store: SqlStore) -> None:
    store.add_ticket("default", TICKET, clock_ms(store) + 60_000)
    assert store.ticket_is_open("default", TICKET)
    assert not store.ticket_is_open("other", TICKET)
    store.enrol_ak(AK, TICKET)
    assert not store.ticket_is_open("default", TICKET)
    other = dataclasses.replace(AK, ak_name=b"\x00\x0b" + b"\x0c" * 32)
    with pytest.raises(EvidenceRejected, match=r"^tpm2\.enrolment\.ticket"):
        store.enrol_ak(other, TICKET)
    assert store.find_ak("default", other.ak_name) is None
    # Nor does opening it again bring it back.
    store.add_ticket("default", TICKET, clock_ms(store) + 60_000)
    assert not store.ticket_is_open("default", TICKET)


@pytest.mark.parametrize("tenant", ["default", "other"])
def test_an_expired_or_foreign_ticket_enrols_nothing(store: SqlStore, tenant: str) -> None:
    expires_ms = clock_ms(store) + (60_000 if tenant == "other" else -1)
    store.add_ticket(tenant, TICKET, expires_ms)
    assert not store.ticket_is_open("default", TICKET)
    with pytest.raises(EvidenceRejected, match=r"^tpm2\.enrolment\.ticket"):
        store.enrol_ak(AK, TICKET)
    assert store.find_ak("default", AK.ak_name) is None


def test_ek_lists_grow(store: SqlStore) -> None:
    one, two, three = (bytes((number,)) * 32 for number in (1, 2, 3))
    store.add_eks("default", [one, two, one])
    store.add_eks("default", [two])
    store.add_eks("default", [])
    assert [store.is_ek_listed("default", ek) for ek in (one, two, three)] == [True, True, False]
    assert not store.is_ek_listed("other", one)
    with pytest.raises(ValueError, match="ek_digest"):
        store.add_eks("default", [b"short"])


def test_a_withdrawn_ek_takes_its_aks_along(store: SqlStore) -> None:
    other = dataclasses.replace(AK, ak_name=b"\x00\x0b" + b"\x0c" * 32, ek_public_digest=b"\x0d" * 32, enrolled_at_ms=1)
    store.add_eks("default", [AK.ek_public_digest, other.ek_public_digest])
    for ak in (AK, other):
        store.enrol_ak(ak, None)
    assert store.enrolled_aks("default") == [other, AK]
    assert store.listed_eks("default") == [AK.ek_public_digest, other.ek_public_digest]
    assert store.withdraw_ek("other", AK.ek_public_digest) == 0
    assert store.withdraw_ek("default", AK.ek_public_digest) == 2
    assert store.find_ak("default", AK.ak_name) is None
    assert not store.is_ek_listed("default", AK.ek_public_digest)
    assert store.withdraw_ak("default", other.ak_name) == 1
    assert store.withdraw_ak("default", other.ak_name) == 0
    assert store.enrolled_aks("default") == []
    assert store.listed_eks("default") == [other.ek_public_digest]


def test_a_mark_rises_and_never_falls(store: SqlStore) -> None:
    large = (1 << 160) - 1  # a CRL number of 20 octets
    assert store.high_water("issuer") is None
    assert store.raise_high_water("issuer", 5)
    assert store.high_water("issuer") == 5
    assert store.raise_high_water("issuer", 5)
    assert not store.raise_high_water("issuer", 4)
    assert store.raise_high_water("issuer", large)
    assert not store.raise_high_water("issuer", 1 << 64)
    assert store.raise_high_water("other", 0)
    with pytest.raises(OverflowError):
        store.raise_high_water("issuer", -1)


def test_a_lease_has_one_holder_until_it_ends(store: SqlStore) -> None:
    assert store.acquire_lease("worker", "a", 60_000)
    assert not store.acquire_lease("worker", "b", 60_000)
    assert store.acquire_lease("other", "b", 60_000)
    assert store.acquire_lease("worker", "a", 1)
    time.sleep(0.05)
    assert store.acquire_lease("worker", "b", 60_000)
    assert not store.acquire_lease("worker", "a", 60_000)
    with pytest.raises(ValueError, match="life_ms"):
        store.acquire_lease("worker", "a", 0)


def _grow_older(store: SqlStore, age_ms: int) -> None:
    """Put back what the store keeps until a time, instead of waiting."""
    with store._database.write() as connection:
        connection.execute(text("UPDATE spent_nonces SET dead_ms = dead_ms - :age"), {"age": age_ms})
        connection.execute(text("UPDATE tpm_tickets SET expires_ms = expires_ms - :age"), {"age": age_ms})


def test_purge_takes_what_is_dead_by_the_stores_clock(store: SqlStore) -> None:
    """A spent nonce lives to its expiry and twice the skew; records stay for ever."""
    now_ms = clock_ms(store)
    short, long = (make_verdict(nonce_expires_ms=now_ms + life_ms) for life_ms in (10_000, 600_000))
    store.commit_verdict(short)
    store.commit_verdict(long)
    store.add_ticket("default", TICKET, now_ms + 10_000)
    assert store.purge(now_ms=FAR_MS, evidence_before_ms=0) == 0
    _grow_older(store, 10_000)  # they have expired, and not by twice the skew
    assert store.purge(now_ms=FAR_MS, evidence_before_ms=0) == 0
    _grow_older(store, 2 * SKEW_MS)
    assert store.purge(now_ms=FAR_MS, evidence_before_ms=0) == 2
    with pytest.raises(EvidenceRejected, match=r"^service\.nonce\.expired"):
        store.commit_verdict(make_verdict(nonce=short.nonce, nonce_expires_ms=now_ms - 2 * SKEW_MS))
    with pytest.raises(EvidenceRejected, match=r"^service\.nonce\.spent"):
        store.commit_verdict(make_verdict(nonce=long.nonce))
    assert store.verify_chain().seq == 2
    store.close()


def test_purge_goes_by_the_earlier_of_the_stores_clock_and_the_time_that_is_believed(store: SqlStore) -> None:
    now_ms = clock_ms(store)
    store.commit_verdict(make_verdict(nonce_expires_ms=now_ms + 10_000))
    store.add_ticket("default", TICKET, now_ms + 10_000)
    _grow_older(store, 30_000)
    assert store.purge(now_ms=now_ms - 30_000, evidence_before_ms=0) == 0
    assert store.purge(now_ms=now_ms + 60_000, evidence_before_ms=0) == 2


def test_a_lease_of_a_clock_that_was_ahead_keeps_nobody_out(store: SqlStore) -> None:
    assert store.acquire_lease("worker", "a", 30_000)
    with store._database.write() as connection:
        connection.execute(text("UPDATE leases SET expires_ms = expires_ms + 86400000"))
    assert store.acquire_lease("worker", "b", 30_000)
    assert not store.acquire_lease("worker", "a", 30_000)


def test_a_clock_that_was_put_back_opens_no_ticket_again(store: SqlStore) -> None:
    now_ms = clock_ms(store)
    store.add_ticket("default", TICKET, now_ms + 60_000)
    assert store.ticket_is_open("default", TICKET)
    store.keep_time(0, now_ms + 60_000 + SKEW_MS)
    assert not store.ticket_is_open("default", TICKET)


def test_the_time_is_kept_unless_another_changed_it_meanwhile(store: SqlStore) -> None:
    assert store.times().kept_ms == 0
    store.keep_time(0, 1_000)
    assert store.times().kept_ms == 1_000
    store.keep_time(1_000, 2_000)
    store.keep_time(1_000, 3_000)
    assert store.times().kept_ms == 2_000


def test_purge_takes_evidence_past_its_retention_and_the_chain_stands(store: SqlStore) -> None:
    record = store.record(store.commit_verdict(make_verdict()).seq)
    assert record is not None
    assert store.purge(now_ms=FAR_MS, evidence_before_ms=clock_ms(store) - 60_000) == 0
    assert store.evidence(record.evidence_digest) is not None
    assert store.purge(now_ms=FAR_MS, evidence_before_ms=clock_ms(store) + 60_000) == 1
    assert store.evidence(record.evidence_digest) is None
    assert store.verify_chain().seq == 1


def test_tampering_with_the_tables_is_found(store: SqlStore) -> None:
    for _ in range(4):
        store.commit_verdict(make_verdict())
    with store._database.write() as connection:
        connection.execute(text("DELETE FROM records WHERE seq = 4"))
    with pytest.raises(EvidenceRejected, match=r"^service\.record\.chain: end of the chain"):
        store.verify_chain()
    with store._database.write() as connection:
        connection.execute(text("UPDATE records SET outcome = 'refused' WHERE seq = 2"))
    with pytest.raises(EvidenceRejected, match=r"^service\.record\.chain: record 2: digest"):
        store.verify_chain()


def test_a_purge_lets_logins_in_between_its_portions(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.adapters.sql.store._PURGE_CHUNK", 3)
    portions: list[int] = []
    write = Database.write

    @contextmanager
    def counted(database: Database) -> Iterator[Connection]:
        portions.append(1)
        with write(database) as connection:
            yield connection

    for _ in range(10):
        store.commit_verdict(make_verdict())
    monkeypatch.setattr(Database, "write", counted)
    assert store.purge(now_ms=1 << 60, evidence_before_ms=1 << 60) >= 10
    assert len(portions) >= 6
