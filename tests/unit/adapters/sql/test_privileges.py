"""PostgreSQL: the service runs with a role that may not change tables, made by the statements of docs/operations.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.postgresql import PostgresServer
from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from tests.unit.adapters.sql.test_failures import CALLS
from verifier.adapters.sql.engine import Database, read_url
from verifier.adapters.sql.schema import REVISION, migrate
from verifier.adapters.sql.store import open_store
from verifier.formats.errors import CannotDecide, ConfigError

_PAGE = Path(__file__).resolve().parents[4] / "docs" / "operations.md"
# What an operator does as the owner: it changes what was done to the store.
_OWNERS = frozenset(("mend_seals",))


def _run(url: str, *statements: str) -> None:
    database = Database(read_url(url))
    try:
        with database.write() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        database.close()


def _grants() -> list[str]:
    (block,) = re.findall(r"```sql\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [statement.strip() for statement in block.split(";") if statement.strip()]


def _role() -> str:
    (name,) = {match for statement in _grants() for match in re.findall(r"CREATE ROLE (\w+)", statement)}
    return str(name)


@pytest.mark.slow
def test_the_service_runs_with_the_lesser_role(postgres: PostgresServer) -> None:
    owner, role = postgres.new_database(), _role()
    service = owner.replace(f"{postgres.user}@", f"{role}@")
    _run(owner, f"DROP ROLE IF EXISTS {role}")
    _run(owner, f"CREATE ROLE {role} LOGIN")
    with pytest.raises(ConfigError, match="verifier store migrate"):
        migrate(service)
    assert migrate(owner) == REVISION
    _run(owner, *(grant for grant in _grants() if not grant.startswith("CREATE ROLE")))
    store = open_store(service, SEALER)
    store.reserve(simulated=True)
    store.add_ticket("default", b"\x0a" * 32, 4_000_000_000_000)
    store.commit_verdict(make_verdict())
    for name, call in CALLS.items():
        if name not in _OWNERS | {"expect_record"}:
            call(store)
    assert store.verify_chain() == store.head()
    store.close()
    for forbidden in (
        "DELETE FROM records", "UPDATE records SET tenant = 'x'", "DELETE FROM findings", "UPDATE store_events SET what = 'x'",
        "UPDATE alembic_version SET version_num = 'x'", "CREATE TABLE more (id int)", "DROP TABLE records",
    ):  # fmt: skip
        with pytest.raises(CannotDecide, match="42501"):
            _run(service, forbidden)
    _run(owner, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
