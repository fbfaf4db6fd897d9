"""Migrations: Alembic's, packaged, run by the program itself. All steps of a run are one transaction.

A run that is killed leaves the database as it was; several runs at once queue on the write lock (SQLite: BEGIN IMMEDIATE;
PostgreSQL: an advisory lock held to the end of the transaction), and all but the first find nothing to do.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.engine import URL

from verifier.adapters.sql.engine import Database, prepare_file, read_url
from verifier.formats.errors import ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"

_LOCK_WAIT_S = 60.0
_ADVISORY_KEY = int.from_bytes(b"vab-ddl\x00", "big", signed=True)


def migrate(url: str, *, migrations: Path = MIGRATIONS) -> str:
    """Bring the database to this program's schema, making it first where it is missing; returns the revision.

    Raises ``ConfigError`` for a database that a newer program has migrated, ``CannotDecide`` when it does not answer.
    ``migrations`` is for tests.
    """
    parsed = read_url(url)
    prepare_file(parsed)
    config = _config(migrations)
    head = _head(config)
    database = Database(parsed, busy_s=_LOCK_WAIT_S, statement_s=0)
    try:
        # The usual start needs neither a lock nor the right to change tables.
        with database.read() as connection:
            if _revision(connection, config, database.shown) == head:
                return head
        with database.write() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_KEY})")
            if _revision(connection, config, database.shown) != head:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
    finally:
        database.close()
    return head


def check_server(url: URL) -> None:
    """Refuse a PostgreSQL server that answers before it has written (fsync off), or cannot hold all text. ``ConfigError``."""
    if url.get_backend_name() != "postgresql":
        return
    database = Database(url)
    try:
        with database.read() as connection:
            for key, want in (("fsync", "on"), ("full_page_writes", "on"), ("server_encoding", "UTF8")):
                seen = connection.exec_driver_sql(f"SHOW {key}").scalar_one()
                if seen != want:
                    raise ConfigError(database.shown, key, seen, want)
    finally:
        database.close()


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _head(config: Config) -> str:
    head = ScriptDirectory.from_config(config).get_current_head()
    if head is None:
        raise ConfigError(str(config.get_main_option("script_location")), "migrations", "none", "at least one")
    return head


def _revision(connection: Connection, config: Config, shown: str) -> str | None:
    """Return the database's revision, ``None`` for an empty one; refuse one that this program does not know."""
    seen = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if seen is not None and seen not in known:
        raise ConfigError(
            shown, "schema revision", seen, f"{_head(config)} or older: this program is older than its store"
        )
    return seen
