"""Exit codes and answers of the command lines: the same for every command, of both programs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from verifier.cli.appraise import command


def _typed(*arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments, "--format", "json"])


@pytest.mark.parametrize("program", ["verifier", "attester"])
@pytest.mark.parametrize("typed", ["nonsense", "--nonsense"])
def test_what_no_program_knows_is_a_usage_error(program: str, typed: str) -> None:
    """Even before any command was found: 2 would say that evidence is malformed."""
    done = subprocess.run([sys.executable, "-m", f"{program}.cli.__main__", typed], capture_output=True, check=False)
    assert done.returncode == 64


def test_evidence_that_cannot_be_read_is_malformed_under_an_id(tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(bytes(7))
    done = _typed("--scheme", "sev-snp", "--evidence", str(tmp_path / "report.bin"))
    answer = json.loads(done.output)

    assert done.exit_code == 2
    assert (answer["verdict"], answer["outcome"], answer["check_id"]) == (
        "invalid",
        "malformed",
        "sev-snp.decode.report",
    )
    assert answer.keys() >= {"findings", "claims"}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--case", "nowhere", "--scheme", "sev-snp"),
        ("--case", "nowhere"),
        ("--scheme", "sev-snp", "--evidence", "nowhere"),
        ("--scheme", "sev-snp", "--evidence", "one", "--evidence", "two"),
        ("--scheme", "tpm2", "--evidence", "one"),
        ("--scheme", "sev-snp", "--evidence", "one", "--at", "2026-01-01T00:00:00"),
        ("--scheme", "sev-snp", "--evidence", "one", "--report-data", "xy"),
        ("--scheme", "sgx-9", "--evidence", "one"),
    ],
)
def test_usage_that_is_wrong_is_never_taken_for_a_verdict(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"x")

    assert _typed(*arguments).exit_code == 64
