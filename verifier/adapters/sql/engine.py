"""Connections: which databases are taken, how each is opened so that what was answered survives kill -9 and power loss.

SQLite: WAL, synchronous FULL, foreign keys, BEGIN IMMEDIATE for whatever writes, a file of mode 0600 in a folder of 0700.
PostgreSQL: psycopg, READ COMMITTED, synchronous_commit never off, time limits, so that a server that is gone is noticed.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, ExceptionContext, PoolProxiedConnection, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from verifier.adapters.sql.failures import answering, cannot_decide, place_of
from verifier.formats.errors import ConfigError

# Shorter than the allowed skew (5 s): a commit that waits longer for the lock would be refused for its time anyway.
BUSY_S = 4.5
STATEMENT_S = 30.0
_WAL_TRIES_S = 15.0
_POOL = {"pool_size": 8, "max_overflow": 24, "pool_timeout": BUSY_S, "hide_parameters": True}
# Of a database server each process has at most so many connections: they are scarce there (max_connections), threads wait for one.
SERVER_POOL = 8
_SERVER_POOL = {**_POOL, "pool_size": SERVER_POOL, "max_overflow": 0, "pool_recycle": 1800}
# A connection that was unused for so long is asked whether it lives, before its use. Under load none is: that is a round trip, of
# about 60 µs to a server on the same machine and of a millisecond to one elsewhere.
_IDLE_S = 1.0
# SQLSTATE of a session that can write nothing (a failover made its server a standby, or the database was made read-only), and of a
# server that ends sessions: this session, and all like it, are of no use any more.
_USELESS = frozenset(("25006", "57P01", "57P02", "57P03"))
_READ_ONLY = "vab_read"  # execution option: this connection takes no write lock


def read_url(url: str) -> URL:
    """Read a database URL. Raises ``ConfigError`` for anything but a SQLite file or PostgreSQL (passwords never shown)."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "settings", "database_url", "text that is no URL", "sqlite:///PATH or postgresql://…"
        ) from None
    shown = parsed.render_as_string(hide_password=True)
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise ConfigError("settings", "database_url", shown, "a file: a store in memory is lost at a restart")
        if parsed.query or parsed.host:
            raise ConfigError("settings", "database_url", shown, "sqlite:///PATH without host and options")
        # Absolute: the same file, also after a change of the working folder.
        return parsed.set(drivername="sqlite+pysqlite", database=str(Path(parsed.database).absolute()))
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigError(
                "settings", "database_url", shown, "the extra 'postgres' of this package (psycopg) installed"
            )
        return parsed.set(drivername="postgresql+psycopg")
    raise ConfigError("settings", "database_url", shown, "sqlite:///PATH or postgresql://…")


class Turn:
    """A queue of the processes that append to one SQLite file, kept by the kernel (flock on a file beside it).

    SQLite's own waiting sleeps up to 0.1 s between two looks: with four busy processes the slowest hundredth of commits took
    450 ms, and takes 30 ms with this. Only fairness hangs on it; what is safe is safe by BEGIN IMMEDIATE. It must not be
    held or open across a fork: a child's copy would hold it for a parent that died.
    """

    def __init__(self, url: URL) -> None:
        self._path = f"{url.database}-turn" if url.get_backend_name() == "sqlite" else None
        self._file: int | None = None

    def __enter__(self) -> None:
        if self._path is not None:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_exception: object) -> None:
        if self._file is not None:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; the next turn opens it again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class Gate:
    """Counts the threads that use connections, so that a fork can wait until none does, and keep all out meanwhile.

    A child that inherits an open SQLite connection inherits the library's idea of locks that the child does not hold; its
    own new connections then believe in them. [Tried: a record that was answered was written over, within one commit each.]
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._users = 0
        self._is_shut = False

    def __enter__(self) -> None:
        with self._changed:
            while self._is_shut:
                self._changed.wait()
            self._users += 1

    def __exit__(self, *_exception: object) -> None:
        with self._changed:
            self._users -= 1
            if self._is_shut:
                self._changed.notify_all()

    def shut(self, timeout_s: float) -> bool:
        """Let no thread in any more and wait until all are out; tells whether they are."""
        with self._changed:
            self._is_shut = True
            return self._changed.wait_for(lambda: self._users == 0, timeout_s)

    def open(self) -> None:
        """Let all callers in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()


class Database:
    """One process's connections to one database. Never used across a fork (``SqlStore`` sees to that)."""

    def __init__(self, url: URL, *, busy_s: float = BUSY_S, statement_s: float = STATEMENT_S) -> None:
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._url = url
        self.turn = Turn(url)
        self.gate = Gate()
        self.shown = url.render_as_string(hide_password=True)
        self.where = place_of(url)
        self.engine = _open_sqlite(url, busy_s) if self.is_sqlite else _open_postgresql(url, busy_s, statement_s)
        self._reader = (
            self.engine.execution_options(**{_READ_ONLY: True})
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        self._snapshots = (
            self._reader
            if self.is_sqlite
            else self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Lend a connection for one SELECT: each statement sees one state, no lock is taken."""
        with self.gate, answering(self.where), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Lend a connection for several SELECTs that see one state of the whole store; writers do not wait for it."""
        with self.gate, answering(), self._snapshots.connect() as connection, connection.begin():
            if self.is_sqlite:
                connection.exec_driver_sql("BEGIN")  # the connection's own does nothing (on_begin)
            try:
                yield connection
            finally:
                if self.is_sqlite:
                    connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Lend a connection inside a transaction that may write; it is committed at the end of the block, durably."""
        with self.gate, answering(self.where), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def turn_of_its_own(self) -> Iterator[None]:
        """Queue among the processes as the writer does, with a file of this call's own."""
        turn = Turn(self._url)
        try:
            with turn:
                yield
        finally:
            turn.close()

    def lend_driver(self, kept: PoolProxiedConnection | None = None) -> PoolProxiedConnection:
        """Lend a driver's own connection, for fixed statements below SQLAlchemy; errors are those of ``driver``.

        Who keeps it must pass the gate to use it, close it before a fork, and hand it in as ``kept`` before each use: one that its
        server has closed meanwhile is replaced.
        """
        if kept is not None and (self.is_sqlite or _lives(self.engine, kept.dbapi_connection, kept.info)):
            return kept
        if kept is not None:
            kept.invalidate()
        return self.engine.raw_connection()

    @property
    def driver(self) -> Any:
        """The driver's module (PEP 249), for its exceptions."""
        return self.engine.dialect.loaded_dbapi

    def note_failure(self, error: BaseException) -> None:
        """Forget every connection when a statement below SQLAlchemy failed because its session is of no use any more."""
        if getattr(error, "sqlstate", None) in _USELESS:
            self.engine.dispose()

    def close(self) -> None:
        """Close every connection that is not lent out."""
        self.engine.dispose()


def prepare_file(url: URL) -> None:
    """Make a SQLite database's file and folder if missing, for this user only, and switch it to WAL (a lasting property).

    Raises ``ConfigError`` where file or folder cannot be made.
    """
    if url.get_backend_name() != "sqlite":
        return
    path = Path(str(url.database))
    try:
        _make_folder(path.parent)
        # SQLite gives -wal and -shm the mode of the database itself.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise ConfigError(
            "settings", "database_url", str(path), f"a file that can be written: {error.strerror}"
        ) from error
    _switch_to_wal(path)


def _make_folder(folder: Path) -> None:
    """Make a folder and its missing parents, each 0700."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _switch_to_wal(path: Path) -> None:
    """Switch to write-ahead logging. Several processes may try at once, and SQLite's busy timeout does not cover that."""
    deadline = time.monotonic() + _WAL_TRIES_S
    while True:
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            try:
                mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            finally:
                connection.close()
        except sqlite3.OperationalError as error:
            if time.monotonic() > deadline or not str(error).startswith("database is locked"):
                raise cannot_decide(error) from error
        except sqlite3.DatabaseError as error:
            raise ConfigError("settings", "database_url", str(path), "a SQLite database") from error
        else:
            if mode != "wal":
                raise ConfigError(
                    "settings", "database_url", str(path), "a file system that can hold a write-ahead log"
                )
            return
        time.sleep(0.02)


def _open_sqlite(url: URL, busy_s: float) -> Engine:
    # mode=rw: a file that has gone is a failure, not a new store. isolation_level=None: the sqlite3 module must not begin
    # and commit on its own, or a migration that fails half-way leaves a table behind; every BEGIN is ours.
    place = f"file:{quote(str(url.database))}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(place, uri=True, isolation_level=None, timeout=busy_s, check_same_thread=False)

    engine = create_engine(url, creator=connect, **_POOL)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        # IMMEDIATE: the write lock is taken before anything is read, so that what was read still holds when it is written.
        # A single SELECT is its own snapshot and needs no BEGIN.
        if not connection.get_execution_options().get(_READ_ONLY):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _open_postgresql(url: URL, busy_s: float, statement_s: float) -> Engine:
    engine = create_engine(
        url,
        # Appending reads the head under a row lock and needs what was committed while it waited: READ COMMITTED, whatever
        # the server's default is.
        isolation_level="READ COMMITTED",
        connect_args={
            "application_name": "vault-attestation-bridge",
            # Of several hosts the one that writes; a standby is refused at once, and never enters the pool.
            **({} if "target_session_attrs" in url.query else {"target_session_attrs": "read-write"}),
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
        },
        **_SERVER_POOL,
    )
    _forsake_useless(engine)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', '60000', false)",
                (str(int(busy_s * 1000)), str(int(statement_s * 1000))),
            )
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.commit()

    return engine


def _forsake_useless(engine: Engine) -> None:
    """Have the pool drop sessions that can do nothing for us any more, all at the first sign, and ask idle ones before their use."""

    @event.listens_for(engine, "handle_error")
    def on_error(context: ExceptionContext) -> None:
        if getattr(context.original_exception, "sqlstate", None) in _USELESS:
            context.is_disconnect = True  # the pool then replaces every connection that is older than this error

    @event.listens_for(engine, "checkout")
    def on_checkout(connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        if not _lives(engine, connection, record.info):
            raise DisconnectionError  # the pool opens another in its place


def _lives(engine: Engine, connection: Any, info: dict[Any, Any]) -> bool:
    """Tell whether a connection can be used, asking it where it was unused for a while."""
    now = time.monotonic()
    before, info["used"] = info.get("used", now), now
    if now - before <= _IDLE_S:
        return True
    try:
        return bool(engine.dialect.do_ping(connection))
    except engine.dialect.loaded_dbapi.Error:
        return False
