"""Parts that several of these tests share, started once."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from attester.cli.__main__ import cli
from tests.support.configfs_tsm import StandIn, mounted, require_fuse
from tests.support.false_servers import Stage, stage
from tests.support.swtpm import EkCa, make_ek_ca, manufacture, require_swtpm

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder of our own on tmpfs."""
    folder = Path("/dev/shm") / f"vab-test-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Stage]:
    """A verifier and a Vault that say what the test wants."""
    with stage(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def stand_in_mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    """A mounted stand-in for configfs-tsm."""
    require_fuse()
    with mounted(tmp_path_factory.mktemp("configfs") / "config") as running:
        yield running


@pytest.fixture
def stand_in(stand_in_mount: StandIn) -> StandIn:
    """The stand-in, with nothing unusual about it."""
    stand_in_mount.tell(
        provider="sev_guest", busy=0, foreign=0, stale=0, lost=0, auxblob="", host_data="00" * 32, log=[]
    )
    stand_in_mount.tell(mrconfigid="00" * 48, quote_version=4)
    return stand_in_mount


@pytest.fixture(scope="session")
def ek_ca(tmp_path_factory: pytest.TempPathFactory) -> EkCa:
    """A TPM manufacturer's CA."""
    require_swtpm()
    return make_ek_ca(tmp_path_factory.mktemp("ek-ca"))


@pytest.fixture(scope="session")
def made_tpm(ek_ca: EkCa, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state of a TPM as it left its manufacturer; copy it."""
    state = tmp_path_factory.mktemp("tpm")
    manufacture(state, ek_ca)
    return state


@dataclass(frozen=True)
class Ran:
    """What a command said."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def _words(config: Path, command: str, rest: tuple[str, ...]) -> list[str]:
    """Say that the host of a simulated machine fixed this configuration at launch."""
    host_data = hashlib.sha256(config.read_bytes()).hexdigest()
    image = config.with_name("image.toml")
    place = ["--provider", "simulated", "--simulated-host-data", host_data, "--config", str(config), "--wait", "5"]
    place += ["--image-file", str(image)]
    return [command, *place, *rest]


@pytest.fixture
def config(servers: Stage, tmp_path: Path) -> Path:
    """The configuration of an attester that believes the stage's verifier."""
    path = tmp_path / "attester.toml"
    path.write_text(servers.config())
    path.with_name("image.toml").write_bytes(servers.image())
    return path


@pytest.fixture
def attester(config: Path) -> Run:
    """Run the command in this process, for what a process of its own would not show better."""

    def run(command: str, *rest: str, content: str | None = None) -> Ran:
        if content is not None:
            config.write_text(content)
        done = CliRunner().invoke(cli, _words(config, command, rest))
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Ran(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the command slept between two tries; it does not sleep."""
    slept: list[float] = []
    monkeypatch.setattr("attester.patience.time", SimpleNamespace(sleep=slept.append))
    return slept


@pytest.fixture
def attester_process(config: Path) -> Run:
    """Run the command as a process of its own."""

    def run(command: str, *rest: str, env: dict[str, str] | None = None, content: str | None = None) -> Ran:
        if content is not None:
            config.write_text(content)
        done = subprocess.run(
            [sys.executable, "-m", "attester.cli.__main__", *_words(config, command, rest)],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    return run
