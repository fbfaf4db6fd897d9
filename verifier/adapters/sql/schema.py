"""The schema of a store: which one this program wants, and whether a database has it. Alembic is loaded only to change one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL

from verifier.adapters.sql.engine import Database, prepare_file, read_url
from verifier.formats.errors import CannotDecide, ConfigError

MIGRATIONS = Path(__file__).parent / "migrations"
# The newest of MIGRATIONS (a test holds them together): the usual start compares it with the database's and is done.
REVISION: Final = "r0002"
_MAY_NOT: Final = "42501"  # PostgreSQL's insufficient_privilege
_VERSION_TABLE = "alembic_version"


def migrate(url: str, *, migrations: Path = MIGRATIONS) -> str:
    """Bring the database to this program's schema, making it first where it is missing; returns the revision.

    Raises ``ConfigError`` for a database that a newer program has migrated, ``CannotDecide`` when it does not answer.
    ``migrations`` is for tests.
    """
    parsed = read_url(url)
    prepare_file(parsed)
    # Neither a lock nor the right to change tables is needed to see that nothing is to be done.
    if migrations == MIGRATIONS and _revision_of(parsed) == REVISION:
        return REVISION
    from verifier.adapters.sql.upgrade import upgrade

    try:
        return upgrade(parsed, migrations)
    except CannotDecide as error:
        if getattr(getattr(error.__cause__, "orig", None), "sqlstate", None) != _MAY_NOT:
            raise
        want = "a role that may change tables: run `verifier store migrate` as the owner of the database (docs/operations.md)"
        raise ConfigError(parsed.render_as_string(hide_password=True), "privileges", _MAY_NOT, want) from error


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


def _revision_of(url: URL) -> str | None:
    """Return the revision that Alembic noted in the database; ``None`` for an empty one."""
    database = Database(url)
    try:
        with database.read() as connection:
            if not connection.dialect.has_table(connection, _VERSION_TABLE):
                return None
            revision: str | None = connection.exec_driver_sql(
                f"SELECT version_num FROM {_VERSION_TABLE}"  # noqa: S608 - a constant
            ).scalar_one_or_none()
            return revision
    finally:
        database.close()
