"""Seals: who can write the database changes no decision; each change is refused by ``service.store.seal`` and found by a search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from tests.unit.adapters.sql.test_tables import AK, TICKET
from verifier.adapters.sql.models import metadata
from verifier.adapters.sql.sealed_rows import UNSEALED_STATE, sealed_tables
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ids import ServiceId
from verifier.core.ports import TrustRow
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected

EK = b"\x0e" * 32
_FAR_MS = 4_000_000_000_000
# Rows of these decide nothing, or are bound by the chain of records; docs/threat-model.md says what a hand in them can do.
_NOT_SEALED = {"records", "findings", "evidence", "evidence_parts", "spent_nonces", "leases"}
_TRUST = [
    TrustRow("policy", "default", "strict", 1, "one"),
    TrustRow("policy", "default", "strict", 2, "two"),
    TrustRow("workload", "default", "pay", 1, "workload"),
    TrustRow("workload", "", "uuid", 1, "owner"),
]


def _by_hand(store: SqlStore, statement: str, **values: Any) -> None:
    with store._database.write() as connection:
        assert connection.execute(text(statement), values).rowcount >= 1


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    """Return a store with a row of every kind that decides."""
    store.reserve(simulated=False)
    store.enrol_ak(AK, None)
    store.add_eks("default", [EK])
    store.add_ticket("default", TICKET, _FAR_MS)
    store.raise_high_water("issuer", 7)
    store.replace_trust("set", _TRUST)
    store.commit_verdict(make_verdict())
    return store


Ask = Callable[[SqlStore], object]
HANDS: dict[str, tuple[str, Ask]] = {
    "an enrolled key gets another public area": (
        "UPDATE tpm_aks SET ak_public = ek_name",
        lambda store: store.find_ak("default", AK.ak_name),
    ),
    "a software key is enrolled by one insert": (
        (
            "INSERT INTO tpm_aks (tenant, ak_name, ak_public, ek_public_digest, ek_name, root, enrolled_at_ms, seal)"
            " SELECT 'acme', ak_name, ak_public, ek_public_digest, ek_name, root, enrolled_at_ms, seal FROM tpm_aks"
        ),
        lambda store: store.find_ak("acme", AK.ak_name),
    ),
    "one without a seal": (
        (
            "INSERT INTO tpm_aks (tenant, ak_name, ak_public, ek_public_digest, ek_name, root, enrolled_at_ms)"
            " SELECT 'acme', ak_name, ak_public, ek_public_digest, ek_name, root, enrolled_at_ms FROM tpm_aks"
        ),
        lambda store: store.find_ak("acme", AK.ak_name),
    ),
    "an EK is put on the list": (
        "INSERT INTO tpm_eks (tenant, ek_digest) SELECT 'acme', ek_digest FROM tpm_eks",
        lambda store: store.is_ek_listed("acme", EK),
    ),
    "a ticket is opened": (
        (
            "INSERT INTO tpm_tickets (tenant, ticket_hash, expires_ms, seal)"
            " SELECT 'acme', ticket_hash, expires_ms, seal FROM tpm_tickets"
        ),
        lambda store: store.ticket_is_open("acme", TICKET),
    ),
    "a ticket lives longer": (
        "UPDATE tpm_tickets SET expires_ms = expires_ms + 1",
        lambda store: store.enrol_ak(AK, TICKET),
    ),
    "a mark falls": ("UPDATE high_water SET number = :low", lambda store: store.raise_high_water("issuer", 6)),
    "a mark is read": ("UPDATE high_water SET number = :low", lambda store: store.high_water("issuer")),
    "the epoch falls": ("UPDATE standing SET number = number - 1 WHERE name = 'epoch'", lambda store: store.epoch()),
    "an epoch is raised from a false one": (
        "UPDATE standing SET number = 1 WHERE name = 'epoch'",
        lambda store: store.raise_epoch(),
    ),
    "the trust digest": ("UPDATE standing SET word = 'other' WHERE name = 'trust'", lambda store: store.trust_digest()),
    "the kind of process": (
        "UPDATE standing SET word = 'simulated' WHERE name = 'kind'",
        lambda store: store.reserve(simulated=True),
    ),
    "the count of changes": ("UPDATE standing SET number = 0 WHERE name = 'changes'", lambda store: store.mark()),
    "a policy": (
        "UPDATE trust_documents SET body = 'mild' WHERE version = 2",
        lambda store: store.trust_document("policy", "default", "strict"),
    ),
    "the older policy again": (
        "DELETE FROM trust_documents WHERE version = 2",
        lambda store: store.trust_document("policy", "default", "strict"),
    ),
    "a workload of another tenant": (
        "INSERT INTO trust_documents SELECT kind, 'acme', name, version, body, seal FROM trust_documents WHERE name = 'pay'",
        lambda store: store.trust_document("workload", "acme", "pay"),
    ),
    "to whom a uuid belongs": (
        "UPDATE trust_documents SET body = 'thief' WHERE tenant = ''",
        lambda store: store.trust_document("workload", "", "uuid"),
    ),
    "the end of the chain": (
        "UPDATE chain_head SET latest_ms = latest_ms + 1",
        lambda store: store.commit_verdict(make_verdict()),
    ),
    "what was done to the store": ("UPDATE store_events SET what = 'nothing'", lambda store: store.events()),
}


@pytest.mark.parametrize("hand", HANDS)
def test_a_row_changed_by_hand_decides_nothing_and_is_found(filled: SqlStore, hand: str) -> None:
    statement, ask = HANDS[hand]
    assert filled.broken_seals() == []
    _by_hand(filled, statement, **({"low": bytes(32)} if ":low" in statement else {}))
    with pytest.raises(CannotDecide) as no:
        ask(filled)
    assert no.value.check_id == ServiceId.SEAL
    assert "verifier store seals" in no.value.detail
    # A false trust digest takes the seals of its whole set along, which are made under it.
    assert {row.table for row in filled.broken_seals()} - {"trust_documents"} <= {no.value.detail.split()[0]}
    assert filled.broken_seals()[0].table == no.value.detail.split()[0]


def test_every_table_is_sealed_or_named_here() -> None:
    """A new table has to be thought about."""
    sealed = {name for name, table in metadata.tables.items() if "seal" in table.c}
    assert sealed.isdisjoint(_NOT_SEALED)
    assert sealed | _NOT_SEALED == set(metadata.tables)


def test_every_sealed_table_is_searched_and_has_a_hand_in_it_here(store: SqlStore) -> None:
    sealed = {name for name, table in metadata.tables.items() if "seal" in table.c}
    with store._database.read() as connection:
        assert {table.name for table in sealed_tables(connection)} == sealed
    assert {name for name in sealed if any(name in statement for statement, _ in HANDS.values())} == sealed


def test_every_row_of_state_is_sealed_but_those_that_grant_nothing(filled: SqlStore) -> None:
    filled.keep_time(0, 1)
    with filled._database.read() as connection:
        rows = connection.execute(text("SELECT name, seal IS NULL FROM standing")).all()
    assert {name for name, is_open in rows if is_open} == set(UNSEALED_STATE)


def test_a_row_of_an_older_set_of_documents_does_not_fit_into_a_newer(filled: SqlStore) -> None:
    """Enabled again by its own old row: the seal is under the digest of its set."""
    with filled._database.read() as connection:
        old = connection.execute(text("SELECT seal FROM trust_documents WHERE name = 'pay'")).scalar_one()
    filled.replace_trust("newer set", [TrustRow("workload", "default", "pay", 1, "disabled")])
    _by_hand(filled, "UPDATE trust_documents SET body = 'workload', seal = :seal WHERE name = 'pay'", seal=bytes(old))
    with pytest.raises(CannotDecide, match=ServiceId.SEAL):
        filled.trust_document("workload", "default", "pay")


def test_documents_whose_seal_fits_are_found_beside_one_whose_does_not(filled: SqlStore) -> None:
    _by_hand(filled, "UPDATE trust_documents SET body = 'mild' WHERE version = 2")
    assert list(filled.trust_documents("policy")) == ["one"]
    assert filled.trust_document("workload", "default", "pay") == "workload"
    assert filled.trust_document("policy", "default", "strict", 1) == "one"


def test_a_set_that_was_changed_is_forgotten_and_compiled_anew(filled: SqlStore) -> None:
    assert filled.mend_trust() == []
    assert filled.trust_digest() == "set"
    _by_hand(filled, "UPDATE trust_documents SET body = 'mild' WHERE version = 2")
    assert [row.key for row in filled.mend_trust()] == ["policy default strict 2"]
    assert filled.trust_digest() == ""
    filled.replace_trust("set", _TRUST)
    assert filled.broken_seals() == []


def test_a_false_digest_of_the_set_is_mended_too(filled: SqlStore) -> None:
    _by_hand(filled, "UPDATE standing SET word = 'other' WHERE name = 'trust'")
    assert filled.mend_trust()
    assert filled.trust_digest() == ""
    _by_hand(filled, "UPDATE standing SET word = 'other' WHERE name = 'trust'")
    assert [row.key for row in filled.mend_trust()] == ["trust"]
    assert filled.trust_digest() == ""


def test_an_operator_removes_or_keeps_what_does_not_fit(filled: SqlStore) -> None:
    change = "INSERT INTO tpm_eks (tenant, ek_digest) SELECT 'acme', ek_digest FROM tpm_eks WHERE tenant = 'default'"
    _by_hand(filled, change)
    assert [row.key for row in filled.mend_seals("not ours", keep=False)] == [f"acme {EK.hex()}"]
    assert not filled.is_ek_listed("acme", EK)
    _by_hand(filled, change)
    filled.mend_seals("ours after all", keep=True)
    assert filled.is_ek_listed("acme", EK)
    assert filled.broken_seals() == []
    assert [(event.what, "not ours" in event.detail) for event in filled.events()][-2:] == [
        ("removed", True),
        ("kept", False),
    ]


def test_what_there_is_one_of_is_kept_or_nothing_is_done(filled: SqlStore) -> None:
    _by_hand(filled, "UPDATE standing SET number = number + 1 WHERE name = 'epoch'")
    with pytest.raises(ConfigError, match="cannot be removed"):
        filled.mend_seals("why", keep=False)
    assert len(filled.broken_seals()) == 1
    filled.mend_seals("why", keep=True)
    assert filled.epoch() >= 0


@pytest.mark.usefixtures("filled")
def test_another_key_file_opens_nothing_and_may_take_over_on_purpose(url: str) -> None:
    other = Sealer(lambda: b"\x07" * 32)
    with pytest.raises(ConfigError, match="the key file that this store was sealed with"):
        open_store(url, other)
    taken = open_store(url, other, check_seals=False)
    assert taken.mend_seals("the key file was lost", keep=True)
    taken.close()
    again = open_store(url, other)
    assert again.find_ak("default", AK.ak_name) == AK
    again.close()


@pytest.mark.usefixtures("filled")
def test_without_a_key_file_records_are_read_and_nothing_else(url: str) -> None:
    store = open_store(url)
    assert store.verify_chain().seq == 1
    assert store.record(1) is not None
    asks: tuple[Ask, ...] = (
        lambda opened: opened.find_ak("default", AK.ak_name),
        lambda opened: opened.epoch(),
        lambda opened: opened.trust_document("policy", "default", "strict"),
        lambda opened: opened.add_eks("default", [EK]),
        lambda opened: opened.commit_verdict(make_verdict()),
    )
    for ask in asks:
        with pytest.raises(ConfigError, match="key file"):
            ask(store)
    store.close()


def test_a_key_file_that_goes_away_stops_the_writer_and_comes_back(url: str) -> None:
    is_there = True

    def master() -> bytes:
        if not is_there:
            raise CannotDecide(ServiceId.KEYS, "key file: it is missing")
        return b"\x01" * 32

    store = open_store(url, Sealer(master))
    store.commit_verdict(make_verdict())
    is_there = False
    with pytest.raises(CannotDecide, match=ServiceId.KEYS):
        store.commit_verdict(make_verdict())
    is_there = True
    assert store.commit_verdict(make_verdict()).seq == 2
    store.close()


def test_nonces_below_the_floor_are_refused_whatever_the_clocks_say(filled: SqlStore) -> None:
    """Purged by a clock that ran ahead: the spent rows are gone, and the nonces must not count again."""
    filled.purge(now_ms=1 << 60, evidence_before_ms=0)
    with filled._database.write() as connection:
        head = filled._lock_head(connection)
        assert head.floor_ms > 0
        filled._write_head(connection, head, head.floor_ms + 40 * 86_400_000)
    with pytest.raises(EvidenceRejected, match=ServiceId.NONCE_EXPIRED):
        filled.commit_verdict(make_verdict())
    filled.raise_epoch("the clock was wrong")  # the way out: no challenge of before is good any more
    assert filled.commit_verdict(make_verdict()).seq == 2


def test_a_mark_knows_a_store_that_lies_behind(filled: SqlStore) -> None:
    mark = filled.mark()
    filled.check_mark(mark)
    filled.check_mark(None)
    filled.withdraw_ak("default", AK.ak_name)
    filled.commit_verdict(make_verdict())
    filled.check_mark(mark)
    for ahead in (
        dataclasses.replace(mark, seq=9),
        dataclasses.replace(mark, epoch=mark.epoch + 1),
        dataclasses.replace(mark, changes=mark.changes + 5),
        dataclasses.replace(mark, digest=bytes(32)),
    ):
        with pytest.raises(ConfigError, match=r"raise-epoch --reason"):
            filled.check_mark(ahead)


def test_a_store_that_says_it_was_never_sealed_is_not_believed_twice(filled: SqlStore, url: str) -> None:
    """Otherwise, who writes the database has everything sealed by the next start."""
    filled.close()
    _by_hand(filled, "UPDATE standing SET number = 0, seal = NULL WHERE name = 'seals'")
    filled.close()
    with pytest.raises(ConfigError, match="never sealed"):
        open_store(url, SEALER, was_sealed=True)
