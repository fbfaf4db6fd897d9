"""When the database fails: CannotDecide for everybody, nothing half-written, and it goes on once the database does."""

from __future__ import annotations

import inspect
import re
import secrets
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event

from tests.support.postgresql import PostgresServer, postgres_server
from tests.support.stores import SEALER, last_record_ms
from tests.support.verdicts import make_verdict
from tests.unit.adapters.sql.test_tables import AK, TICKET
from verifier.adapters.sql import engine
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import CommittedRecord, TrustRow
from verifier.formats.errors import CannotDecide, ConfigError

CALLS: dict[str, Callable[[SqlStore], object]] = {
    "epoch": lambda store: store.epoch(),
    "raise_epoch": lambda store: store.raise_epoch(),
    "commit_verdict": lambda store: store.commit_verdict(make_verdict()),
    "records_after": lambda store: store.records_after(0, 1),
    "head": lambda store: store.head(),
    "record": lambda store: store.record(1),
    "evidence": lambda store: store.evidence(bytes(32)),
    "verify_chain": lambda store: store.verify_chain(),
    "find_ak": lambda store: store.find_ak("default", b"n"),
    "is_ek_listed": lambda store: store.is_ek_listed("default", bytes(32)),
    "ticket_is_open": lambda store: store.ticket_is_open("default", bytes(32)),
    "enrol_ak": lambda store: store.enrol_ak(AK, TICKET),
    "add_eks": lambda store: store.add_eks("default", [bytes(32)]),
    "add_ticket": lambda store: store.add_ticket("default", bytes(32), 1),
    "enrolled_aks": lambda store: store.enrolled_aks("default"),
    "listed_eks": lambda store: store.listed_eks("default"),
    "withdraw_ak": lambda store: store.withdraw_ak("default", b"n"),
    "withdraw_ek": lambda store: store.withdraw_ek("default", bytes(32)),
    "trust_digest": lambda store: store.trust_digest(),
    "trust_number": lambda store: store.trust_number(),
    "trust_rows": lambda store: store.trust_rows(),
    "trust_history": lambda store: store.trust_history("set"),
    "keep_trust_history": lambda store: store.keep_trust_history([TrustRow("set", "", "n", 1, "{}")]),
    "release_lease": lambda store: store.release_lease("n", "h"),
    "replace_trust": lambda store: store.replace_trust("d", [TrustRow("policy", "t", "n", 1, "{}")]),
    "trust_document": lambda store: store.trust_document("policy", "default", "n"),
    "trust_documents": lambda store: store.trust_documents("identity"),
    "high_water": lambda store: store.high_water("issuer"),
    "raise_high_water": lambda store: store.raise_high_water("issuer", 1),
    "acquire_lease": lambda store: store.acquire_lease("worker", "a", 1000),
    "lease": lambda store: store.lease("worker"),
    "rehearse": lambda store: store.rehearse(make_verdict()),
    "reserve": lambda store: store.reserve(simulated=True),
    "accept_clock": lambda store: store.accept_clock(make_verdict(outcome="clock-accepted")),
    "times": lambda store: store.times(),
    "keep_time": lambda store: store.keep_time(0, 1),
    "purge": lambda store: store.purge(now_ms=0, evidence_before_ms=0),
    "ping": lambda store: store.ping(),
    "mend_trust": lambda store: store.mend_trust(),
    "seal_once": lambda store: store.seal_once(),
    "broken_seals": lambda store: store.broken_seals(),
    "mend_seals": lambda store: store.mend_seals("why", keep=True),
    "events": lambda store: store.events(),
    "backup": lambda store: store.backup(Path(tempfile.mkdtemp()) / "backup"),
    "expect_record": lambda store: store.expect_record(CommittedRecord(1, bytes(32))),
    "mark": lambda store: store.mark(),
    "check_mark": lambda store: store.check_mark(None),
}


def _must_not_decide(call: Callable[[SqlStore], object], store: SqlStore) -> None:
    with pytest.raises(CannotDecide, match=r"^service\.store: the store did not answer") as refusal:
        call(store)
    assert refusal.value.retry_after > 0


def test_every_method_of_the_store_is_tried_here() -> None:
    methods = {name for name, _ in inspect.getmembers(SqlStore, inspect.isfunction) if not name.startswith("_")}
    # `close` asks the database nothing; `commit_soon` and `flush` are tried in tests/unit/web/test_commits.py.
    assert methods - {"close", "commit_soon", "flush"} == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
def test_a_broken_file_is_cannot_decide(sqlite_store: SqlStore, tmp_path: Path, name: str) -> None:
    sqlite_store.close()
    (tmp_path / "var" / "verifier.db").write_bytes(b"no database any more" * 1000)
    _must_not_decide(CALLS[name], sqlite_store)


def test_a_file_that_has_gone_is_cannot_decide_and_not_made_anew(sqlite_store: SqlStore, tmp_path: Path) -> None:
    sqlite_store.close()
    path = tmp_path / "var" / "verifier.db"
    path.unlink()
    for call in CALLS.values():
        _must_not_decide(call, sqlite_store)
    assert not path.exists()


def test_a_server_that_dies_is_cannot_decide_and_used_again_when_it_is_back() -> None:
    with postgres_server() as server:
        store = open_store(server.new_database(), SEALER)
        for call in CALLS.values():
            if call not in (CALLS["enrol_ak"], CALLS["expect_record"]):
                call(store)
        server.stop("immediate")
        for call in CALLS.values():
            _must_not_decide(call, store)
        server.start()
        # The first use may still find a connection of before.
        end_s = time.monotonic() + 10
        while time.monotonic() < end_s:
            try:
                store.ping()
                committed = store.commit_verdict(make_verdict())
                break
            except CannotDecide:
                time.sleep(0.05)
        assert committed.seq == 3
        assert store.verify_chain().seq == 3
        store.close()


def test_a_full_disk_refuses_the_whole_group_and_writes_nothing(sqlite_store: SqlStore) -> None:
    """The limit of pages is SQLite's own way to be full, with the disk's own error."""
    sqlite_store.commit_verdict(make_verdict())
    database = sqlite_store._database
    limit = 1

    def on_connect(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit}")

    event.listen(database.engine, "connect", on_connect)
    sqlite_store._owned.here().release_idle()
    verdicts = [make_verdict(evidence=secrets.token_bytes(100_000)) for _ in range(4)]
    failures: list[str] = []

    def commit(index: int) -> None:
        try:
            sqlite_store.commit_verdict(verdicts[index])
        except CannotDecide as failure:
            failures.append(str(failure))

    threads = [threading.Thread(target=commit, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [f"service.store: the store did not answer ({database.where}): OperationalError SQLITE_FULL"] * 4
    limit = 1_000_000
    sqlite_store._owned.here().release_idle()
    assert sqlite_store.verify_chain().seq == 1
    for verdict in verdicts:
        sqlite_store.commit_verdict(make_verdict(nonce=verdict.nonce))
    assert sqlite_store.verify_chain().seq == 5


def test_a_lock_that_is_never_given_is_cannot_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.Database.__init__.__kwdefaults__, "busy_s", 0.1)
    store = open_store(f"sqlite:///{tmp_path}/x.db", SEALER)
    other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    verdict = make_verdict()
    for call in (lambda s: s.commit_verdict(verdict), CALLS["ping"], CALLS["raise_epoch"]):
        _must_not_decide(call, store)
    # Readers are not in the way of a writer, nor it in theirs.
    assert last_record_ms(store) == 0
    other.execute("ROLLBACK")
    other.close()
    assert store.commit_verdict(verdict).seq == 1
    store.close()


def test_no_message_holds_what_was_to_be_written(sqlite_store: SqlStore) -> None:
    verdict = make_verdict(source="203.0.113.99")
    sqlite_store.commit_verdict(verdict)
    with pytest.raises(CannotDecide) as refusal:
        sqlite_store.commit_verdict(make_verdict(jti=verdict.jti, source=verdict.source))
    shown = str(refusal.value)
    assert verdict.jti not in shown
    assert verdict.source not in shown


def test_only_this_package_imports_sqlalchemy() -> None:
    package = Path(engine.__file__).parent
    importing = re.compile(r"^\s*(?:from|import) (?:sqlalchemy|alembic|sqlite3|psycopg)\b", re.MULTILINE)
    others = [path for path in package.parents[1].rglob("*.py") if package not in path.parents]
    assert len(others) > 5
    assert [path for path in others if importing.search(path.read_text())] == []
    assert importing.search(Path(engine.__file__).read_text())


def test_a_server_that_answers_before_it_has_written_is_refused(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with postgres_server() as careless:
        careless.run(
            "psql", "-h", str(careless.folder), "-U", careless.user, "-c", "ALTER SYSTEM SET fsync = off", "postgres"
        )
        careless.stop()
        careless.start()
        with pytest.raises(ConfigError, match="fsync"):
            open_store(careless.new_database(), SEALER)
    open_store(url, SEALER).close()


def test_sessions_that_can_write_nothing_are_forgotten_at_the_first_sign(postgres: PostgresServer) -> None:
    """As after a failover: every session of the pool, and the writer's own, is one of a server that is a standby now."""
    store = open_store(postgres.new_database(), SEALER)
    store.commit_verdict(make_verdict())
    database = store._database
    store._owned.here().writer.release_idle()
    read_only = [database.engine.raw_connection() for _ in range(4)]
    for connection in read_only:
        connection.cursor().execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.commit()
    for connection in read_only:
        connection.close()
    _must_not_decide(CALLS["ping"], store)
    store.ping()
    store.commit_verdict(make_verdict())
    # The writer's own, below SQLAlchemy.
    kept = store._owned.here().writer._connection
    assert kept is not None
    kept.cursor().execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    kept.commit()
    _must_not_decide(CALLS["commit_verdict"], store)
    assert store.commit_verdict(make_verdict()).seq == 3
    store.close()


def test_a_server_that_can_only_be_read_is_refused_when_it_is_connected_to(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    open_store(url, SEALER).close()
    with pytest.raises(CannotDecide) as refusal:
        open_store(f"{url}&options=-c%20default_transaction_read_only%3Don", SEALER)
    assert refusal.value.check_id == "service.store"


def test_a_connection_that_its_server_closed_while_it_was_idle_costs_nothing(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verifier.adapters.sql.engine._IDLE_S", 0.0)
    store = open_store(postgres.new_database(), SEALER)
    store.commit_verdict(make_verdict())
    store.epoch()
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with store._database.read() as connection:
        connection.exec_driver_sql(others)
    assert store.commit_verdict(make_verdict()).seq == 2
    assert store.epoch() >= 0
    store.close()
