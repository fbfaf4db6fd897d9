"""A store of the first schema, filled as its program did (596a58d), is brought up to date: nothing is lost, rows are sealed, once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.old_store import AK, EK, EVIDENCE, TICKET, make_old_store
from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.schema import REVISION, migrate
from verifier.adapters.sql.store import open_store
from verifier.formats.encoding import sha256
from verifier.formats.errors import CannotDecide

# SHA-256 of the schema of a SQLite file that 596a58d made.
_FIRST_SCHEMA = "c7d143801c68f77c3c96c187d26195aad2965167dd2f3efcafd3495ec30238b6"


def test_everything_of_an_old_store_is_there_and_sealed(url: str) -> None:
    records = make_old_store(url)
    store = open_store(url, SEALER)
    sealed = ("tpm_eks", "tpm_tickets", "tpm_aks", "trust_documents", "high_water", "chain_head")
    assert dict(store.first_sealed) == {**dict.fromkeys(sealed, 1), "standing": 5, "store_events": 0}
    assert store.broken_seals() == []
    assert list(store.records_after(0, 10)) == records
    assert store.evidence(sha256(EVIDENCE)) == EVIDENCE
    assert store.find_ak("default", AK.ak_name) == AK
    assert store.is_ek_listed("default", EK)
    assert store.ticket_is_open("default", TICKET)
    assert store.high_water("issuer") == 7
    assert (store.trust_digest(), store.trust_document("workload", "default", "pay")) == ("digest", "body")
    store.reserve(simulated=False)
    assert store.commit_verdict(make_verdict()).seq == len(records) + 1
    assert store.verify_chain().seq == len(records) + 1
    assert [event.what for event in store.events()] == ["sealed"]
    store.close()


def test_it_is_sealed_once_and_what_comes_without_a_seal_afterwards_is_refused(url: str) -> None:
    make_old_store(url)
    open_store(url, SEALER).close()
    store = open_store(url, SEALER)
    assert store.first_sealed == {}
    with store._database.write() as connection:
        connection.execute(text("INSERT INTO tpm_eks (tenant, ek_digest) VALUES ('default', :ek)"), {"ek": bytes(32)})
    with pytest.raises(CannotDecide, match=r"service\.store\.seal"):
        store.is_ek_listed("default", bytes(32))
    store.close()


def test_who_has_no_key_file_migrates_and_seals_nothing(url: str) -> None:
    records = make_old_store(url)
    store = open_store(url)
    assert store.verify_chain().seq == len(records)
    store.close()
    store = open_store(url, SEALER)
    assert store.first_sealed["tpm_aks"] == 1
    store.close()


def test_a_file_that_the_program_of_596a58d_made_is_of_the_first_schema(tmp_path: Path) -> None:
    """The first migration is what it was, text for text."""
    url = f"sqlite:///{tmp_path}/old.db"
    make_old_store(url)
    with sqlite3.connect(tmp_path / "old.db") as connection:
        rows = connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()
    connection.close()
    schema = "\n".join(" ".join(row[0].split()) for row in rows)
    assert sha256(schema.encode()).hex() == _FIRST_SCHEMA
    assert migrate(url) == REVISION


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT number FROM state WHERE name = 'epoch'",
        "SELECT seq, digest, latest_ms FROM chain_head WHERE id = 1",
        "UPDATE chain_head SET seq = 9, digest = digest WHERE id = 1",
        "UPDATE state SET word = 'x' WHERE name = 'trust'",
    ],
)
def test_a_program_of_before_that_still_runs_can_decide_nothing(url: str, statement: str) -> None:
    """It would write rows without seals, which the new ones refuse: a replica that was not stopped has to fail itself."""
    make_old_store(url)
    store = open_store(url, SEALER)
    with pytest.raises(CannotDecide, match="the store did not answer"), store._database.write() as connection:
        connection.execute(text(statement))
    store.close()
