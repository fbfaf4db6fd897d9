"""``verifier store`` beyond its records: seals, events, backup, mark, and what is refused without the key file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.commands import CommandPlace, command_place
from tests.support.verdicts import make_verdict
from verifier.cli import enrolment
from verifier.cli.store import command

EK = "0e" * 32


@pytest.fixture
def place(tmp_path: Path) -> Iterator[CommandPlace]:
    with command_place(tmp_path, command) as made:
        yield made


def _put_ek_by_hand(place: CommandPlace) -> None:
    with sqlite3.connect(place.database) as connection:
        connection.execute("INSERT INTO tpm_eks (tenant, ek_digest) VALUES ('default', ?)", (bytes.fromhex(EK),))
    connection.close()


def test_rows_that_a_hand_put_in_are_listed_removed_and_told(place: CommandPlace) -> None:
    assert place.done("seals") == {"outcome": "listed", "rows": []}
    _put_ek_by_hand(place)
    listed = place.typed("seals", "--format", "json")
    assert (listed.exit_code, json.loads(listed.stdout)["rows"]) == (1, [{"table": "tpm_eks", "row": f"default {EK}"}])
    assert place.typed("seals", "--remove").exit_code == 64  # no reason
    assert place.done("seals", "--remove", "--reason", "not ours")["outcome"] == "removed"
    assert place.done("seals")["rows"] == []
    told = place.done("events")["events"]
    assert [one["what"] for one in told] == ["sealed", "removed"]
    assert told[-1]["detail"] == {"reason": "not ours", "rows": [f"tpm_eks default {EK}"]}


def test_rows_that_an_operator_keeps_count(place: CommandPlace) -> None:
    _put_ek_by_hand(place)
    assert place.done("seals", "--keep", "--reason", "ours")["outcome"] == "kept"
    assert place.store.is_ek_listed("default", bytes.fromhex(EK))


def test_a_backup_is_written_and_restored_and_serves_after_a_reason(place: CommandPlace, tmp_path: Path) -> None:
    ends = [place.store.commit_verdict(make_verdict()) for _ in range(2)]
    place.done("raise-epoch")  # sets the mark
    file = str(tmp_path / "backup")
    assert place.done("backup", file)["digest"] == ends[-1].digest.hex()
    place.store.commit_verdict(make_verdict())
    place.store.close()
    for left in ("", "-wal", "-shm"):
        Path(f"{place.database}{left}").unlink(missing_ok=True)
    assert place.done("restore", file) == {
        "outcome": "restored", "rows": place_rows(place), "seq": 2, "digest": ends[-1].digest.hex(),
    }  # fmt: skip
    refused = place.typed("raise-epoch")
    assert (refused.exit_code, "--reason" in refused.output) == (64, True)
    assert place.done("raise-epoch", "--reason", "a test")["outcome"] == "raised"
    assert place.done("raise-epoch")["outcome"] == "raised"  # once said, it is said


def place_rows(place: CommandPlace) -> int:
    """Count the rows of every table that is backed up."""
    with sqlite3.connect(place.database) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        names = [name for name in names if name not in ("alembic_version", "leases") and not name.startswith("sqlite_")]
        total = sum(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names)  # noqa: S608 - the schema's
    connection.close()
    return int(total)


def test_an_end_that_was_kept_elsewhere_is_asked_for(place: CommandPlace) -> None:
    first, last = (place.store.commit_verdict(make_verdict()) for _ in range(2))
    for end in (first, last):
        assert place.done("verify", "--expect-at-least", f"{end.seq},{end.digest.hex()}")["outcome"] == "unbroken"
    assert place.done("verify", "--expect-at-least", f"0,{'00' * 32}")["seq"] == 2
    for wrong in (f"3,{last.digest.hex()}", f"1,{last.digest.hex()}"):
        result = place.typed("verify", "--expect-at-least", wrong, "--format", "json")
        assert (result.exit_code, json.loads(result.stdout)["check_id"]) == (1, "service.record.chain")
    for senseless in ("2", "x,y", f"-1,{last.digest.hex()}", f"2,{last.digest.hex()[1:]}"):
        assert place.typed("verify", "--expect-at-least", senseless).exit_code == 64


def test_what_changes_sealed_rows_wants_the_key_file_and_says_so(place: CommandPlace) -> None:
    place.config.write_text(place.config.read_text().replace("keys.json", "gone.json"))
    allow = ["allow", "--ek-sha256", EK, "--config", str(place.config)]
    for result in (
        CliRunner().invoke(enrolment.command, allow),
        place.typed("raise-epoch"),
        place.typed("seals"),
        place.typed("events"),
    ):
        assert result.exit_code == 64
        assert "gone.json: file" in result.output
    place.store.commit_verdict(make_verdict())
    assert place.done("verify")["seq"] == 1
    assert len(place.done("records")["records"]) == 1


def test_a_store_is_migrated_and_compacted_by_hand(place: CommandPlace) -> None:
    assert place.done("migrate")["outcome"] == "migrated"
    assert place.done("compact")["bytes_after"] > 0
