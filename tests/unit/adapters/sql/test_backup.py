"""Backups: one state of a store that is written meanwhile, whole or refused, into either kind of database."""

from __future__ import annotations

import gzip
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.support.postgresql import PostgresServer
from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from tests.unit.adapters.sql.test_tables import AK, TICKET
from verifier.adapters.sql.backup import compact, restore_backup
from verifier.adapters.sql.models import leases, metadata
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import TrustRow
from verifier.formats.errors import CannotDecide, ConfigError

EMPTY = {
    "sqlite": lambda path, _server: f"sqlite:///{path}/restored.db",
    "postgresql": lambda _path, server: server.new_database(),
}


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    store.reserve(simulated=False)
    store.enrol_ak(AK, None)
    store.add_ticket("default", TICKET, 4_000_000_000_000)
    store.raise_high_water("issuer", 7)
    store.replace_trust("set", [TrustRow("policy", "default", "größe", 1, "ein Text")])
    for _ in range(3):
        store.commit_verdict(make_verdict())
    store.acquire_lease("worker", "me", 60_000)
    return store


def _content(store: SqlStore) -> dict[str, list[tuple[object, ...]]]:
    with store._database.read() as connection:
        return {
            table.name: [
                tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
                for row in connection.execute(select(table).order_by(*table.primary_key))
            ]
            for table in metadata.sorted_tables
            if table is not leases
        }


@pytest.mark.parametrize("kind", EMPTY)
def test_a_restored_store_has_every_row_and_is_known_as_restored(
    filled: SqlStore, tmp_path: Path, kind: str, postgres: PostgresServer
) -> None:
    made = filled.backup(tmp_path / "backup")
    assert made.head == filled.head()
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    url = EMPTY[kind](tmp_path, postgres)
    assert restore_backup(url, tmp_path / "backup") == made
    restored = open_store(url, SEALER)
    before, after = _content(filled), _content(restored)
    assert ("restored", 1) in {row[:2] for row in after["standing"]}
    before["standing"] = [row for row in before["standing"] if row[0] != "restored"]
    after["standing"] = [row for row in after["standing"] if row[0] != "restored"]
    assert after == before
    assert restored.verify_chain() == made.head
    with pytest.raises(ConfigError, match=r"restore.*raise-epoch --reason"):
        restored.check_mark(None)
    restored.raise_epoch("a test")
    restored.check_mark(None)
    assert restored.commit_verdict(make_verdict()).seq == made.head.seq + 1
    restored.close()


def test_a_backup_is_one_state_of_a_store_that_is_written_meanwhile(filled: SqlStore, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            filled.commit_verdict(make_verdict())

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        made = [filled.backup(tmp_path / f"b{number}") for number in range(5)]
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert made[-1].head.seq > made[0].head.seq
    for number, one in enumerate(made):
        url = f"sqlite:///{tmp_path}/r{number}.db"
        restore_backup(url, tmp_path / f"b{number}")
        restored = open_store(url)
        assert restored.verify_chain() == one.head
        restored.close()


Damage = Callable[[bytes], bytes]


def _relined(change: Callable[[list[bytes]], list[bytes]]) -> Damage:
    return lambda data: gzip.compress(b"".join(change(gzip.decompress(data).splitlines(keepends=True))))


DAMAGES: dict[str, Damage] = {
    "cut": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-9],
    "no gzip": lambda data: b"x" + data,
    "a line missing": _relined(lambda lines: lines[:-3] + lines[-2:]),
    "the end missing": _relined(lambda lines: lines[:-1]),
    "a line changed": _relined(lambda lines: [line.replace(b"payments", b"payment2") for line in lines]),
    "more after the end": _relined(lambda lines: [*lines, b"[1]\n"]),
    "no JSON": _relined(lambda lines: [lines[0], b"{\n", *lines[1:]]),
    "another format": _relined(lambda lines: [lines[0].replace(b"backup/1", b"backup/9"), *lines[1:]]),
    "of a newer program": _relined(lambda lines: [lines[0].replace(b"r0002", b"r9999"), *lines[1:]]),
    "empty": lambda _data: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_whole_backup_restores_nothing(sqlite_store: SqlStore, tmp_path: Path, damage: str) -> None:
    sqlite_store.commit_verdict(make_verdict())
    sqlite_store.backup(tmp_path / "backup")
    (tmp_path / "broken").write_bytes(DAMAGES[damage]((tmp_path / "backup").read_bytes()))
    url = f"sqlite:///{tmp_path}/restored.db"
    with pytest.raises(ConfigError, match=r"backup"):
        restore_backup(url, tmp_path / "broken")
    restored = open_store(url)
    assert restored.head().seq == 0
    restored.close()
    restore_backup(url, tmp_path / "backup")  # the same store, still empty, takes the whole one


def test_a_store_that_holds_something_is_not_written_over(filled: SqlStore, url: str, tmp_path: Path) -> None:
    filled.backup(tmp_path / "backup")
    with pytest.raises(ConfigError, match="an empty store"):
        restore_backup(url, tmp_path / "backup")
    with pytest.raises(ConfigError, match="never written over"):
        filled.backup(tmp_path / "backup")


def test_a_folder_that_cannot_be_written_is_a_sentence(sqlite_store: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(CannotDecide, match="No such file or directory"):
        sqlite_store.backup(tmp_path / "nowhere" / "backup")


def test_compacting_gives_the_space_of_purged_evidence_back(sqlite_store: SqlStore, tmp_path: Path) -> None:
    for number in range(60):
        sqlite_store.commit_verdict(make_verdict(evidence=bytes([number]) * 9 + bytes(range(256)) * 40))
    sqlite_store.purge(now_ms=1 << 60, evidence_before_ms=1 << 60)
    sqlite_store.close()
    before, after = compact(f"sqlite:///{tmp_path}/var/verifier.db")
    assert after < before / 3
    assert sqlite_store.verify_chain().seq == 60


def test_compacting_works_on_postgresql_too(filled: SqlStore, url: str) -> None:
    before, after = compact(url)
    assert before > 0 < after
    assert filled.verify_chain().seq == 3
