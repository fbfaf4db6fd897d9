"""``verifier store``: backup, restore, the rows whose seal does not fit, size, schema. Commands of the group in ``cli/store.py``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from verifier.adapters.settings_source import load_settings
from verifier.adapters.sql import backup as backups
from verifier.adapters.sql.schema import migrate as migrate_schema
from verifier.cli.opened import CONFIG_OPTION, opened_records, opened_store
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
_REASON = click.option("--reason", default="", help="Why. It is kept in the store (`verifier store events`).")


@click.command("backup")
@CONFIG_OPTION
@click.argument("file", type=_FILE)
@answers
def backup(config: str | None, file: Path) -> Answer:
    """Write the store into a new file.

    The service goes on meanwhile. The file is one state of the whole store, of SQLite or of PostgreSQL, and can be restored into
    either. It holds no key. It holds records and evidence: keep it as you keep the store.

    Keep what this command prints in another place, for `verifier store verify --expect-at-least`.
    """
    with opened_records(config) as store:
        made = store.backup(file)
    data = {
        "outcome": "written",
        "file": str(file),
        "rows": made.rows,
        "seq": made.head.seq,
        "digest": made.head.digest.hex(),
    }
    text = f"{file}: {made.rows} rows, {made.head.seq} records, chain ends at {made.head.digest.hex()}"
    return Answer(data, text)


@click.command("restore")
@CONFIG_OPTION
@click.argument("file", type=_FILE)
@answers
def restore(config: str | None, file: Path) -> Answer:
    """Fill an empty store from a backup.

    The database has to be new. It is filled whole or not at all, and its chain is checked. The verifier refuses to serve from it until
    `verifier store raise-epoch --reason TEXT` was run.
    """
    made = backups.restore_backup(load_settings(config).database_url, file)
    with opened_records(config) as store:
        last = store.verify_chain()
    data = {"outcome": "restored", "rows": made.rows, "seq": last.seq, "digest": last.digest.hex()}
    text = (
        f"{made.rows} rows of {utc_time(made.made_ms // 1000)}, {last.seq} records, chain ends at {last.digest.hex()}"
    )
    return Answer(data, text, hints=("it serves again after: verifier store raise-epoch --reason TEXT",))


@click.command("seals")
@CONFIG_OPTION
@click.option("--keep", "keep", flag_value=True, default=None, type=bool, help="Seal these rows as they stand.")
@click.option("--remove", "keep", flag_value=False, type=bool, help="Remove these rows.")
@_REASON
@answers
def seals(config: str | None, keep: bool | None, reason: str) -> Answer:
    """List rows that were changed by hand.

    Rows that decide are sealed under the key file: enrolled keys, EKs, tickets, marks, compiled trust documents, the end of the chain.
    A row that somebody put into the database or changed there is refused (`service.store.seal`) and listed here.

    With --remove the rows go. With --keep they are believed from now on: look at each of them first. Both need --reason. After a key
    file was lost, every row is listed, and --keep seals all under the new one.

    Exit code 1: such rows are there.
    """
    if keep is None:
        with opened_store(config, check_seals=False) as store:
            rows = store.broken_seals()
    else:
        if not reason:
            raise ConfigError("store seals", "--reason", "", "why these rows are kept or removed")
        with opened_store(config, check_seals=False) as store:
            rows = store.mend_seals(reason, keep=keep)
    outcome = "listed" if keep is None else "kept" if keep else "removed"
    data = {"outcome": outcome, "rows": [{"table": row.table, "row": row.key} for row in rows]}
    text = "\n".join(f"{row.table} {row.key}" for row in rows) or "every seal fits"
    return Answer(data, text, Exit.NO if rows and keep is None else Exit.DONE)


@click.command("events")
@CONFIG_OPTION
@answers
def events(config: str | None) -> Answer:
    """List what was done to the store.

    Sealed for the first time, epoch raised, rows kept or removed: each with its time and its reason.
    """
    with opened_store(config) as store:
        found = store.events()
    listed = [
        {"seq": one.seq, "time": utc_time(one.at_ms // 1000), "what": one.what, "detail": json.loads(one.detail)}
        for one in found
    ]
    lines = [f"{one.seq} {utc_time(one.at_ms // 1000)} {one.what} {one.detail}" for one in found]
    return Answer({"outcome": "listed", "events": listed}, "\n".join(lines) or "nothing")


@click.command("compact")
@CONFIG_OPTION
@answers
def compact(config: str | None) -> Answer:
    """Give freed space back to the disk.

    A store that is purged does not shrink: freed pages are used again. SQLite: the file is written anew, which takes as much free disk
    as the store has, and no login is answered meanwhile (503). PostgreSQL: VACUUM ANALYZE, beside the service.
    """
    before, after = backups.compact(load_settings(config).database_url)
    data = {"outcome": "compacted", "bytes_before": before, "bytes_after": after}
    return Answer(data, f"{before} bytes before, {after} after")


@click.command("migrate")
@CONFIG_OPTION
@answers
def migrate(config: str | None) -> Answer:
    """Bring the database to this program's schema.

    `verifier serve` does it by itself where its role may change tables. For a service with a lesser role, run this first, with
    VAB_DATABASE_URL naming the owner's role.
    """
    revision = migrate_schema(load_settings(config).database_url)
    return Answer({"outcome": "migrated", "revision": revision}, f"schema {revision}")


COMMANDS = (backup, restore, seals, events, compact, migrate)
