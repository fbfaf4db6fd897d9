"""Real databases: a SQLite file always, PostgreSQL from a server that the test run starts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgresql import PostgresServer, postgres_server
from tests.support.processes import StartChild, child_processes
from tests.support.stores import SEALER
from verifier.adapters.sql.store import SqlStore, open_store


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database that is not there yet (SQLite) or empty (PostgreSQL)."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/var/verifier.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    opened = open_store(url, SEALER)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[SqlStore]:
    """Return a store for what only SQLite has."""
    opened = open_store(f"sqlite:///{tmp_path}/var/verifier.db", SEALER)
    yield opened
    opened.close()


@pytest.fixture
def start_child() -> Iterator[StartChild]:
    with child_processes() as start:
        yield start
