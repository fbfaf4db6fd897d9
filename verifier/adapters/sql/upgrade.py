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

from verifier.adapters.sql.engine import Database
from verifier.formats.errors import ConfigError

_LOCK_WAIT_S = 60.0
_ADVISORY_KEY = int.from_bytes(b"vab-ddl\x00", "big", signed=True)


def upgrade(url: URL, migrations: Path, to: str = "") -> str:
    """Bring a database (its file exists) to a migration of a folder, the newest by default; returns the revision.

    Errors as of ``migrate``; ``ConfigError`` for a revision that the folder does not have.
    """
    config = _config(migrations)
    head = to or _head(config)
    if head not in _known(config):
        raise ConfigError(
            "backup", "schema revision", head, f"{_head(config)} or older: this program is older than the backup"
        )
    database = Database(url, busy_s=_LOCK_WAIT_S, statement_s=0)
    try:
        with database.read() as connection:
            if _revision(connection, config, database.shown) == head:
                return head
        with database.write() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_KEY})")
            if _revision(connection, config, database.shown) != head:
                config.attributes["connection"] = connection
                command.upgrade(config, head)
    finally:
        database.close()
    return head


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


def _known(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def _revision(connection: Connection, config: Config, shown: str) -> str | None:
    """Return the database's revision, ``None`` for an empty one; refuse one that this program does not know."""
    seen = MigrationContext.configure(connection).get_current_revision()
    if seen is not None and seen not in _known(config):
        raise ConfigError(
            shown, "schema revision", seen, f"{_head(config)} or older: this program is older than its store"
        )
    return seen
