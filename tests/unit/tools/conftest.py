"""A machine made of fake commands: nothing of the real one is on its PATH, and its cache is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.realparts import cli, places

PROGRAM = places.ROOT / "tools" / "parts.py"


@dataclass(frozen=True)
class Result:
    """What a program answered."""

    status: int
    out: str
    err: str


@dataclass
class Machine:
    """Fake commands in `bin`, a cache, and a journal in which each fake notes how it was called."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def bin(self) -> Path:
        """The one folder on its PATH."""
        return self.root / "bin"

    @property
    def cache(self) -> Path:
        """Where the programs under test keep what they build."""
        return self.root / "cache" / "vault-attestation-bridge"

    def fake(self, name: str, body: str = "exit 0") -> Path:
        """Put a command on PATH; `body` is shell, run after the call was noted."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "{name} $*" >> "{self.root}/journal"\n{body}\n')
        path.chmod(0o755)
        return path

    def calls(self, beginning: str = "") -> list[str]:
        """Return how the fakes were called, those calls that begin so."""
        journal = self.root / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [line for line in lines if line.startswith(beginning)]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start tools/parts.py as a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), *words],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> Result:
        """Run tools/parts.py as a process of its own."""
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        return Result(process.returncode, out, err)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make an empty machine, in this process and for those it starts."""
    (tmp_path / "bin").mkdir()
    release = tmp_path / "os-release"
    release.write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    environment = {
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "DOCKER_CONFIG": str(tmp_path / "docker"),
        "VAB_OS_RELEASE": str(release),
        "VAULT_BIN": "",
        "DOCKER_HOST": "",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(places, "_SYSTEM_FOLDERS", "")
    return Machine(tmp_path, environment)


Parts = Callable[..., Result]


@pytest.fixture
def parts(machine: Machine, capsys: pytest.CaptureFixture[str]) -> Parts:
    """Run a subcommand in this process, on the fake machine."""
    assert machine.bin.is_dir()

    def call(*words: str) -> Result:
        capsys.readouterr()
        status = cli.main(words)
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return call


GO = """
case "$1 $2" in
"env GOVERSION") echo "${FAKE_GO_VERSION:-go1.26.8}" ;;
"env GOTOOLCHAIN") echo "${FAKE_GO_TOOLCHAIN:-local}" ;;
"env GOOS") printf 'linux\\namd64\\n' ;;
build*)
  echo compiling
  sleep "${FAKE_GO_SECONDS:-0}"
  [ -z "$FAKE_GO_BROKEN" ] || { echo "undefined: everything"; exit 2; }
  while [ "$1" != -o ]; do shift; done
  printf '#!/bin/sh\\necho built\\n' > "$2" && chmod +x "$2" ;;
esac
"""


@pytest.fixture
def go(machine: Machine) -> Path:
    """Put a fake Go on the machine, which builds at once."""
    return machine.fake("go", GO)
