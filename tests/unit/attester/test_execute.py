"""A command gets its secrets, and they go when it goes."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.false_servers import VAULT_TOKEN, Stage

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]
SECRET = "a-secret-of-the-child"  # noqa: S105 - made up
REFERENCE = "secret/data/default/web/db#password"


@pytest.fixture(autouse=True)
def _secret(servers: Stage) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = {
        "data": {"password": SECRET, "nul": "a\x00b", "list": [1, 2]},
        "metadata": {},
    }


def test_the_child_finds_its_secret_in_its_environment(attester_process: Run, servers: Stage) -> None:
    ran = attester_process(
        "exec", "--env", f"DB={REFERENCE}", "--", sys.executable, "-c", "import os;print(os.environ['DB'])"
    )
    assert ran.code == 0, ran.err
    assert ran.out.strip() == SECRET
    assert servers.vault.paths()[-1] == "/v1/auth/token/revoke-self"


def test_without_files_the_attester_becomes_the_command(servers: Stage, tmp_path: Path) -> None:
    """The same process id: nobody is left who knows the secret."""
    with started(servers, tmp_path, ["--env", f"DB={REFERENCE}"], "import os;print(os.getpid())") as process:
        out, _ = process.communicate(timeout=30)
    assert int(out) == process.pid


@pytest.mark.parametrize("code", [0, 1, 7, 70])
def test_the_childs_exit_code_is_ours(attester_process: Run, memory: Path, code: int) -> None:
    ran = attester_process(
        "exec", "--file", f"{memory}/pw={REFERENCE}", "--", sys.executable, "-c", f"raise SystemExit({code})"
    )
    assert ran.code == code


def test_files_are_there_for_the_child_and_gone_afterwards(attester_process: Run, memory: Path) -> None:
    script = (
        "import os,stat,sys;p=sys.argv[1];"
        "print(open(p).read(), oct(stat.S_IMODE(os.stat(p).st_mode)), sorted(os.environ.get('DB','')))"
    )
    ran = attester_process(
        "exec", "--file", f"{memory}/pw={REFERENCE}", "--", sys.executable, "-c", script, f"{memory}/pw"
    )
    assert ran.out.split()[:2] == [SECRET, "0o600"], ran.err
    assert list(memory.iterdir()) == []


def started(servers: Stage, tmp_path: Path, options: list[str], script: str) -> subprocess.Popen[str]:
    """Start ``attester exec`` without waiting for its end."""
    config = tmp_path / "attester.toml"
    config.write_text(servers.config())
    digest = hashlib.sha256(config.read_bytes()).hexdigest()
    image = tmp_path / "image.toml"
    image.write_bytes(servers.image())
    place = [
        "--provider",
        "simulated",
        "--simulated-host-data",
        digest,
        "--config",
        str(config),
        "--image-file",
        str(image),
    ]
    command = [
        sys.executable,
        "-m",
        "attester.cli.__main__",
        "exec",
        *place,
        *options,
        "--",
        sys.executable,
        "-u",
        "-c",
        script,
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


_WAITS = (
    "import signal,sys,time\n"
    "def caught(n, _):\n    print('got', n, flush=True); sys.exit(9)\n"
    "for n in (1, 10, 15): signal.signal(n, caught)\n"
    "print('ready', flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_signals_reach_the_child_and_files_go_with_it(
    servers: Stage, tmp_path: Path, memory: Path, number: signal.Signals
) -> None:
    with started(servers, tmp_path, ["--file", f"{memory}/pw={REFERENCE}"], _WAITS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert (memory / "pw").read_text() == SECRET
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    assert out == f"got {int(number)}\n"
    assert process.returncode == 9
    assert list(memory.iterdir()) == []


def test_a_child_that_dies_by_a_signal_is_told_as_shells_do(servers: Stage, tmp_path: Path, memory: Path) -> None:
    script = "import os,signal; os.kill(os.getpid(), signal.SIGKILL)"
    with started(servers, tmp_path, ["--file", f"{memory}/pw={REFERENCE}"], script) as process:
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL
    assert list(memory.iterdir()) == []


def test_the_parent_never_holds_the_secret(servers: Stage, tmp_path: Path, memory: Path) -> None:
    """Its whole memory is looked through while the child runs."""
    with started(servers, tmp_path, ["--file", f"{memory}/pw={REFERENCE}"], _WAITS) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        pages = list(_memory_of(process.pid))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
    assert sum(len(page) for page in pages) > 1_000_000
    assert any(b"attester" in page for page in pages)
    for word in (SECRET, VAULT_TOKEN):
        assert not any(word.encode() in page for page in pages)


def _memory_of(pid: int) -> Iterator[bytes]:
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
                span, rights, *_ = line.split()
                if not rights.startswith("rw"):
                    continue
                first, last = (int(part, 16) for part in span.split("-"))
                memory.seek(first)
                try:
                    yield memory.read(last - first)
                except OSError:
                    continue
    except PermissionError:
        pytest.skip("reading another process's memory is not allowed here")


@pytest.mark.parametrize(
    "words",
    [
        ("--env", "1X=a#b"),
        ("--env", "A=a"),
        ("--env", "A"),
        ("--env", f"A={REFERENCE}", "--env", f"A={REFERENCE}"),
        ("--env", "A=../x#y"),
        ("--env", "A=a?b#y"),
        (),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_is_asked_for(
    attester: Run, servers: Stage, words: tuple[str, ...]
) -> None:
    ran = attester("exec", *words, "--", "true")
    assert ran.code == 64
    assert servers.verifier.seen == []


def test_a_file_on_a_disk_or_one_that_exists_is_refused(
    attester_process: Run, servers: Stage, memory: Path, tmp_path: Path
) -> None:
    assert attester_process("exec", "--file", f"{tmp_path}/pw={REFERENCE}", "--", "true").code == 64
    assert servers.verifier.seen == []
    (memory / "theirs").write_text("theirs")
    assert attester_process("exec", "--file", f"{memory}/theirs={REFERENCE}", "--", "true").code == 64
    assert (memory / "theirs").read_text() == "theirs"


def test_files_are_removed_when_the_command_cannot_be_started(attester_process: Run, memory: Path) -> None:
    ran = attester_process("exec", "--file", f"{memory}/pw={REFERENCE}", "--", "/no/such/program")
    assert ran.code == 64
    assert SECRET not in ran.out + ran.err
    assert list(memory.iterdir()) == []


def test_a_nul_byte_cannot_be_a_variable(attester_process: Run) -> None:
    ran = attester_process("exec", "--env", "A=secret/data/default/web/db#nul", "--", "true")
    assert ran.code == 64
    assert "use --file" in ran.err


def test_a_refusal_leaves_with_its_own_code_and_no_command_is_started(
    attester_process: Run, servers: Stage, memory: Path
) -> None:
    servers.vault.secrets.clear()
    for option in (["--env", f"A={REFERENCE}"], ["--file", f"{memory}/pw={REFERENCE}"]):
        ran = attester_process("exec", *option, "--", "touch", f"{memory}/started")
        assert ran.code == 1
        assert "attester.vault.denied" in ran.out
    assert list(memory.iterdir()) == []
    assert os.environ.get("A") is None
