"""Migrations: packaged, whole or not at all, safe for four processes at once, never backwards."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from tests.support.processes import StartChild
from tests.support.stores import SEALER, last_record_ms
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.engine import Database, read_url
from verifier.adapters.sql.models import metadata
from verifier.adapters.sql.schema import MIGRATIONS, REVISION, migrate
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.formats.errors import ConfigError

_HALF = '''"""Makes one table, dies where it is told to, makes another."""

import os
import signal
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "half"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("first", sa.Column("id", sa.BigInteger, primary_key=True))
    if os.environ.get("DIE") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("DIE") == "raise":
        op.execute("SELECT no_such_column FROM first")
    op.create_table("second", sa.Column("id", sa.BigInteger, primary_key=True))
'''


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """Return a folder of migrations whose only one can be made to die half-way."""
    folder = tmp_path / "halves"
    (folder / "versions").mkdir(parents=True)
    shutil.copy(MIGRATIONS / "env.py", folder)
    (folder / "versions" / "half.py").write_text(_HALF)
    return folder


def _tables(url: str) -> set[str]:
    database = Database(read_url(url))
    with database.read() as connection:
        names = set(inspect(connection).get_table_names())
    database.close()
    return names


def test_the_tables_are_those_that_the_program_thinks_of(store: SqlStore) -> None:
    with store._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("death", ["kill", "raise"])
def test_a_migration_that_dies_half_way_leaves_nothing_and_can_be_repeated(
    url: str, halves: Path, start_child: StartChild, death: str
) -> None:
    def work() -> None:
        os.environ["DIE"] = death
        migrate(url, migrations=halves)

    status, output = start_child(work).finish()
    assert status == (-signal.SIGKILL if death == "kill" else 1), output
    assert "first" not in _tables(url)
    assert migrate(url, migrations=halves) == "half"
    assert _tables(url) == {"alembic_version", "first", "second"}


def test_four_processes_migrate_at_once(url: str, start_child: StartChild) -> None:
    outputs = [child.finish() for child in [start_child(lambda: print(migrate(url))) for _ in range(4)]]  # noqa: T201
    assert outputs == [(0, f"{REVISION}\n")] * 4
    store = open_store(url, SEALER)
    assert store.commit_verdict(make_verdict()).seq == 1
    store.close()


def test_migrating_again_keeps_what_is_there(store: SqlStore, url: str) -> None:
    store.commit_verdict(make_verdict())
    epoch = store.epoch()
    assert migrate(url) == REVISION
    assert (last_record_ms(store) > 0, store.epoch()) == (True, epoch)


def test_a_store_of_a_newer_program_is_refused(store: SqlStore, url: str) -> None:
    with store._database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'r9999'"))
    for opening in (migrate, open_store):
        with pytest.raises(ConfigError, match=r"'r9999'.*this program is older than its store"):
            opening(url)


def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = open_store(f"sqlite:///{tmp_path}/a/b/verifier.db", SEALER)
        store.commit_verdict(make_verdict())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a").rglob("*")}
        store.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert modes.pop("b") == 0o700
    assert {"verifier.db", "verifier.db-wal", "verifier.db-shm"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_sqlite_is_opened_to_survive_a_power_loss(sqlite_store: SqlStore) -> None:
    connection = sqlite_store._database.lend_driver()
    cursor = connection.cursor()
    seen = {
        name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert seen == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    connection.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///x.db?timeout=1",
        "mysql://u:hidden@h/x",
        "no url",
        "",
    ],
)
def test_other_databases_are_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match="database_url") as refusal:
        open_store(url, SEALER)
    assert "hidden" not in str(refusal.value)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match="a SQLite database"):
        open_store(f"sqlite:///{tmp_path}/x.db", SEALER)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="a file that can be written"):
        open_store(f"sqlite:///{tmp_path}/file/x.db", SEALER)


def test_a_database_that_others_made_in_rollback_mode_is_switched(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.db").close()
    store = open_store(f"sqlite:///{tmp_path}/x.db", SEALER)
    assert store.commit_verdict(make_verdict()).seq == 1
    store.close()


def test_a_fresh_store_gets_the_revision_that_the_program_names(url: str) -> None:
    assert migrate(url) == REVISION


def test_the_usual_start_does_not_load_alembic(store: SqlStore, url: str) -> None:
    del store
    script = "import sys; from verifier.adapters.sql.schema import migrate; migrate(sys.argv[1]); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
