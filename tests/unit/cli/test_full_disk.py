"""A full disk is a sentence and exit 3, never a traceback; in both programs, whose commands answer the same way."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

CHECKS = {"verifier": ("verifier.cli", "checks"), "attester": ("attester.cli", "checks")}


@pytest.mark.parametrize("program", CHECKS)
@pytest.mark.parametrize("form", ["text", "json"])
def test_an_output_that_is_full_is_exit_3(program: str, form: str) -> None:
    module, command = CHECKS[program]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", module, command, "--format", form],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert (done.returncode, done.stderr) == (
        3,
        "cannot-decide: service.disk: the output cannot be written: No space left on device\n",
    )


def test_a_file_that_cannot_be_written_is_exit_3(tmp_path: Path) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("a passphrase of a test", encoding="ascii")
    other = tmp_path / "other"
    other.write_text("another passphrase of a test", encoding="ascii")
    arguments = ["keys", "init", "--base-url", "https://a.example", "--tenants", "default"]
    places = ["--key-file", "keys.json", "--passphrase-file", str(passphrase)]
    root = ["--root-file", "root.json", "--root-passphrase-file", str(other)]
    done = subprocess.run(
        [sys.executable, "-B", "-m", "verifier.cli", *arguments, *places, *root],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[3]), "PATH": "/usr/bin:/bin"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16, 16)),
    )  # fmt: skip

    assert done.returncode == 3, done.stderr
    assert "service.disk" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*.json"))
