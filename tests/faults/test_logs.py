"""Readers of the log that stop, die, or are full: a log line never decides or delays a login."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier, problem
from tests.support.metrics import value_of
from tests.support.waiting import wait_for
from tools.demo.processes import Processes

LOGINS = 40
# A reader that can be stopped and killed, and says how many lines it had.
_READER = "import sys\nfor line in sys.stdin.buffer: open(sys.argv[1], 'ab').write(line)"
NOISE = {"workers": 2, "log_level": "debug"}


@contextmanager
def _read_by(path: Path) -> Iterator[tuple[LiveVerifier, subprocess.Popen[bytes]]]:
    """Serve with a pipe for a log, and a process that reads it into ``read``."""
    with live_verifier(path, NOISE, start=False) as live:
        reading, writing = os.pipe()
        reader = subprocess.Popen([sys.executable, "-c", _READER, str(path / "read")], stdin=reading)
        os.close(reading)
        try:
            _serve(live, writing)
            os.close(writing)
            yield live, reader
        finally:
            reader.kill()
            reader.wait()


def _serve(live: LiveVerifier, output: int) -> None:
    command = [sys.executable, "-m", "verifier.cli", "serve", "--config", str(live.folder.settings_file)]
    _start(live.processes, live.name, command, output)
    live.processes.wait_for(live.name, live.folder.is_ready)


def _start(processes: Processes, name: str, command: list[str], output: int) -> None:
    processes._running[name] = subprocess.Popen(
        command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _log_in(live: LiveVerifier, count: int = LOGINS) -> int:
    """Log in so often; returns how many tokens came, each opened by its attester."""
    return sum(bool(live.attest().token) for _ in range(count))


def _fill(live: LiveVerifier) -> None:
    """Fill the pipe from beside, to its last byte: refusals alone, one line a second and check, would take minutes."""
    with Path(f"/proc/{live.processes.pid(live.name)}/fd/1").open("wb", buffering=0) as pipe:
        os.set_blocking(pipe.fileno(), False)
        try:
            while pipe.write(b"{}\n" * 1000):
                pass
        except BlockingIOError:
            pass
        while True:
            try:
                if not pipe.write(b"\n"):
                    return
            except BlockingIOError:
                return


def _log_troubles(live: LiveVerifier) -> list[str]:
    body = live.admin("/readyz").json()
    assert body["status"] in ("ready", "degraded")
    return [one["part"] for one in body["troubles"]]


@pytest.mark.fault(
    "the log's reader stops (SIGSTOP)", "0 tokens lost; /readyz names the log; lines come when it goes on"
)
def test_a_reader_that_stops_costs_no_token(tmp_path: Path, seen: Seen) -> None:
    with _read_by(tmp_path) as (live, reader):
        assert _log_in(live, 2) == 2
        os.kill(reader.pid, signal.SIGSTOP)
        _fill(live)

        tokens = _log_in(live)
        assert tokens == LOGINS
        wait_for(lambda: "log" in _log_troubles(live))
        assert value_of(live, "vab_attestations_total", tenant="default", scheme="sev-snp") == LOGINS + 2
        assert value_of(live, "vab_ready") == 1

        os.kill(reader.pid, signal.SIGCONT)
        wait_for(lambda: "log" not in _log_troubles(live))
        read = wait_for(lambda: _lines(tmp_path / "read", "attested") if _attested(tmp_path) >= LOGINS + 2 else None)
        assert len({line["jti"] for line in read}) == LOGINS + 2
        assert live.stop() == 0
        seen(f"{tokens} of {LOGINS} tokens; all {len(read)} lines came late, 0 torn")


@pytest.mark.fault("the log's reader dies", "0 tokens lost; lost lines are counted; /readyz names the log")
def test_a_reader_that_dies_costs_no_token(tmp_path: Path, seen: Seen) -> None:
    with _read_by(tmp_path) as (live, reader):
        assert _log_in(live, 2) == 2
        reader.kill()
        reader.wait()

        tokens = _log_in(live)
        assert tokens == LOGINS
        wait_for(lambda: "log" in _log_troubles(live))
        lost = wait_for(lambda: value_of(live, "vab_log_lines_lost_total"))
        assert value_of(live, "vab_attestations_total", tenant="default", scheme="sev-snp") == LOGINS + 2
        assert live.stop() == 0
        seen(f"{tokens} of {LOGINS} tokens; {lost:.0f} lines counted as lost so far")


@pytest.mark.fault(
    "the log's disk is full (a tmpfs)", "0 tokens lost; lost lines are counted, and told when there is room"
)
def test_a_full_disk_costs_no_token(tmp_path: Path, seen: Seen) -> None:
    with _tiny_disk(tmp_path / "disk") as disk, live_verifier(tmp_path / "live", NOISE, start=False) as live:
        filler = disk / "filler"
        log = os.open(disk / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        _serve(live, log)
        os.close(log)
        assert _log_in(live, 2) == 2
        _write_until_full(filler, bytes(4096))
        _write_until_full(disk / "log", b"\n")

        tokens = _log_in(live)
        assert tokens == LOGINS
        wait_for(lambda: "log" in _log_troubles(live))
        lost = wait_for(lambda: value_of(live, "vab_log_lines_lost_total"))
        filler.unlink()
        wait_for(lambda: _log_in(live, 1) and "log" not in _log_troubles(live))
        told = wait_for(lambda: _lines(disk / "log", "log-lines-lost"))
        assert sum(line["lines"] for line in told) >= 1
        assert live.stop() == 0
        seen(f"{tokens} of {LOGINS} tokens; {lost:.0f} lines lost, told {len(told)} times")


@pytest.mark.fault("the log's reader stops, and then SIGTERM", "the service ends all the same")
def test_a_stop_waits_for_no_reader(tmp_path: Path, seen: Seen) -> None:
    with _read_by(tmp_path) as (live, reader):
        os.kill(reader.pid, signal.SIGSTOP)
        _fill(live)
        assert problem(live.send(b"no request"))["check_id"] == "wire.jws"

        assert live.stop() == 0
        os.kill(reader.pid, signal.SIGCONT)
        seen("exit status 0")


@contextmanager
def _tiny_disk(path: Path) -> Iterator[Path]:
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _write_until_full(path: Path, block: bytes) -> None:
    """Take what is left of the disk, or of a file's last page."""
    with path.open("ab", buffering=0) as file:
        while True:
            try:
                file.write(block)
            except OSError:
                return


def _lines(path: Path, event: str) -> list[dict[str, object]]:
    text = path.read_bytes() if path.exists() else b""
    # Every line is JSON, whole, whatever happened: no process's line is torn by another's.
    listed = [json.loads(line) for line in text.splitlines() if line.strip(b"\0\n ")]
    return [one for one in listed if one.get("event") == event]


def _attested(path: Path) -> int:
    try:
        return len(_lines(path / "read", "attested"))
    except ValueError:
        return 0  # the last line is still being written
