"""Backups: a store as one file, taken while it is served, restored into an empty store of either kind of database.

The file is gzip over lines of JSON: a head (format, schema revision, time, end of the chain), for each table a line with its columns
and a line for each row, and an end with the number of rows and the SHA-256 of all lines before. Bytes are base64. All tables are
read in one snapshot, so that the file is one state of the store; writers do not wait. Leases are left out: they are nobody's then.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import json
import os
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, LargeBinary, column, delete, func, insert, select, table, update

from verifier.adapters.sql.engine import Database, prepare_file, read_url
from verifier.adapters.sql.models import StoreClock, chain_head, leases, metadata, state
from verifier.adapters.sql.schema import MIGRATIONS, REVISION, check_server, migrate
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord
from verifier.formats.errors import CannotDecide, ConfigError

FORMAT: Final = "vab-store-backup/1"
_CHUNK: Final = 500
# Tables that are never empty, so that they do not tell whether a store is.
_ALWAYS: Final = frozenset((state.name, chain_head.name))


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: rows of all tables, and where its chain ends."""

    rows: int
    head: CommittedRecord
    made_ms: int


def write_backup(database: Database, path: Path) -> Backup:
    """Write a new file of mode 0600. ``ConfigError`` where there is one; ``CannotDecide`` for a full disk, or a store that is away."""
    if path.exists():
        raise ConfigError(
            str(path), "file", "a file that is there", "a name that no file has: a backup is never written over"
        )
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
            with database.snapshot() as connection:
                made = _write(connection, packed)
            packed.close()
            raw.flush()
            os.fsync(raw.fileno())
        fresh.rename(path)
    except OSError as error:
        raise CannotDecide(ServiceId.STORE, f"backup {path}: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)
    return made


def _write(connection: Connection, file: gzip.GzipFile) -> Backup:
    digest, rows = hashlib.sha256(), 0

    def put(value: Any) -> None:
        line = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        digest.update(line)
        file.write(line)

    seq, end = connection.execute(select(chain_head.c.seq, chain_head.c.last_digest)).one()
    made_ms = int(connection.execute(select(StoreClock())).scalar_one())
    put({"format": FORMAT, "revision": REVISION, "made_ms": made_ms, "seq": seq, "digest": bytes(end).hex()})
    for one in metadata.sorted_tables:
        if one is leases:
            continue
        put({"table": one.name, "columns": [[c.name, _kind(c.type)] for c in one.columns]})
        blobs = [_kind(c.type) == "bytes" for c in one.columns]
        found = connection.execute(select(one).order_by(*one.primary_key).execution_options(yield_per=_CHUNK))
        for row in found:
            put([
                base64.b64encode(value).decode("ascii") if is_blob and value is not None else value
                for value, is_blob in zip(row, blobs, strict=True)
            ])  # fmt: skip
            rows += 1
    file.write(json.dumps({"rows": rows, "sha256": digest.hexdigest()}).encode() + b"\n")
    return Backup(rows, CommittedRecord(int(seq), bytes(end)), made_ms)


def _kind(of: Any) -> str:
    return "bytes" if isinstance(of, LargeBinary) else "number" if isinstance(of, BigInteger) else "text"


def restore_backup(url: str, path: Path) -> Backup:
    """Fill an empty store, made first where it is missing; all or nothing. It serves only after its epoch was raised.

    Raises ``ConfigError`` for a store that is not empty and for a file that is no whole backup.
    """
    parsed = read_url(url)
    check_server(parsed)
    prepare_file(parsed)
    with _lines(path) as lines:
        head = _head(path, lines)
        from verifier.adapters.sql.upgrade import upgrade

        upgrade(parsed, MIGRATIONS, head["revision"])
        database = Database(parsed, statement_s=0)
        try:
            with database.write() as connection:
                _refuse_full(connection, database.shown)
                rows = _fill(connection, path, lines)
                connection.execute(update(state).where(state.c.name == "restored").values(number=1))
        finally:
            database.close()
    migrate(url)
    return Backup(rows, CommittedRecord(head["seq"], bytes.fromhex(head["digest"])), head["made_ms"])


class _Lines:
    """The lines of a backup, counted and hashed; the last one says what both have to be."""

    def __init__(self, path: Path, file: gzip.GzipFile) -> None:
        self._path, self._file = path, file
        self._digest, self._rows = hashlib.sha256(), 0

    def __iter__(self) -> Iterator[Any]:
        for line in self._file:
            value = self._read(line)
            if isinstance(value, dict) and "sha256" in value:
                if value != {"rows": self._rows, "sha256": self._digest.hexdigest()} or self._file.read(1):
                    raise not_whole(self._path, "an end that does not fit")
                return
            self._digest.update(line)
            self._rows += isinstance(value, list)
            yield value
        raise not_whole(self._path, "no end")

    def _read(self, line: bytes) -> Any:
        try:
            return json.loads(line)
        except ValueError:
            raise not_whole(self._path, "a line that is no JSON") from None


@contextlib.contextmanager
def _lines(path: Path) -> Iterator[Iterator[Any]]:
    try:
        with gzip.open(path, "rb") as file:
            yield iter(_Lines(path, file))
    except (OSError, EOFError, zlib.error) as error:
        raise not_whole(path, getattr(error, "strerror", None) or type(error).__name__) from error


def _head(path: Path, lines: Iterator[Any]) -> dict[str, Any]:
    head = next(lines, None)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise not_whole(path, "another format")
    return head


def _refuse_full(connection: Connection, shown: str) -> None:
    for one in metadata.sorted_tables:
        name = table(one.name)
        if (
            one is not leases
            and one.name not in _ALWAYS
            and connection.execute(select(func.count()).select_from(name)).scalar_one()
        ):
            raise ConfigError(shown, one.name, "rows", "an empty store: a backup is restored into a new database")


def _fill(connection: Connection, path: Path, lines: Iterator[Any]) -> int:
    statement, names, kinds, rows = None, [], [], 0
    waiting: list[dict[str, Any]] = []
    known = metadata.tables.keys()

    def put() -> None:
        if waiting and statement is not None:
            connection.execute(statement, waiting)
            waiting.clear()

    for line in lines:
        if isinstance(line, dict):
            put()
            if line["table"] not in known:
                raise not_whole(path, f"the unknown table {line['table']!r}")
            names, kinds = [name for name, _ in line["columns"]], [kind for _, kind in line["columns"]]
            of = table(line["table"], *(column(name) for name in names))
            if of.name in _ALWAYS:
                connection.execute(delete(of))
            statement = insert(of)
            continue
        values = (
            base64.b64decode(value) if kind == "bytes" and value is not None else value
            for value, kind in zip(line, kinds, strict=True)
        )
        waiting.append(dict(zip(names, values, strict=True)))
        rows += 1
        if len(waiting) == _CHUNK:
            put()
    put()
    return rows


def not_whole(path: Path, got: str) -> ConfigError:
    """Word a file that is no backup, or not all of one."""
    return ConfigError(str(path), "backup", got, "a whole file that `verifier store backup` wrote")


def compact(url: str) -> tuple[int, int]:
    """Give free pages back to the file system (SQLite), or to the tables (PostgreSQL); returns the size in bytes before and after."""
    parsed = read_url(url)
    database = Database(parsed, statement_s=0)
    try:
        with database.read() as connection:
            before = _size(connection, database)
            if database.is_sqlite:
                connection.exec_driver_sql("VACUUM")
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            else:
                for one in metadata.sorted_tables:
                    connection.exec_driver_sql(f"VACUUM (ANALYZE) {one.name}")
            return before, _size(connection, database)
    finally:
        database.close()


def _size(connection: Connection, database: Database) -> int:
    if database.is_sqlite:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
    return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())
