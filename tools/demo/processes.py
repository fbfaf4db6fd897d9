"""Processes of a demo or an end-to-end test: started in one place, all ended again, also when interrupted."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
_START_S = 60.0
_STOP_S = 15.0
_POLL_S = 0.05


class DemoError(Exception):
    """The demo cannot go on; the message says why and what to do."""


def hold_port(port: int = 0) -> int:
    """Return a TCP port of the loopback that this process holds until it ends; raises ``OSError`` where a stated one is taken.

    It stays bound and nobody listens on it: Linux then gives it to nobody else, not to a connection either, and lets a server that
    sets SO_REUSEADDR (as gunicorn, Vault, swtpm and ``http.server`` do) listen on it, and again after a restart.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        found: int = held.getsockname()[1]
        held.detach()  # kept open on purpose
        return found


def hold_port_pair() -> int:
    """Hold a port and its successor, and return the lower.

    swtpm's TCTI expects the control channel behind the data's; Vault opens its cluster's port behind its own.
    """
    for _ in range(50):
        port = hold_port()
        with contextlib.suppress(OSError):
            hold_port(port + 1)
            return port
    raise DemoError("no two neighbouring free ports on the loopback")


def real_part(name: str, *, show: bool = False) -> str:
    """Ask ``tools/parts.py`` for a real part; with ``show`` its progress goes to the user's terminal."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "parts.py"), name],
        stdout=subprocess.PIPE, stderr=None if show else subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise DemoError(
            f"{name} is not to be had (tools/parts.py {name} left with {done.returncode}): {done.stderr or 'see above'}"
        )
    return done.stdout.strip().splitlines()[-1]


class Processes:
    """A context manager that owns child processes. Their output goes to files in ``logs``."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process in a group of its own, so that an interrupt reaches it through us only."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                list(command),
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> int:
        """End a process and what it started; returns its exit status."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        return process.wait()

    def pid(self, name: str) -> int:
        """Return the process id."""
        return self._running[name].pid

    def log(self, name: str) -> str:
        """Return what the process has written."""
        path = self._logs / f"{name}.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_for(self, name: str, ready: Callable[[], bool], within_s: float = _START_S) -> None:
        """Wait until ``ready`` holds; a process that dies first, or takes too long, is a ``DemoError`` with its last words."""
        deadline = time.monotonic() + within_s
        while not ready():
            if self._running[name].poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"{name} did not come up; its last words:\n{self.log(name)[-2000:]}")
            time.sleep(_POLL_S)


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections on that port of the loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM and SIGINT into the same exception, so that context managers clean up in both cases.

    SIGINT too: a shell that starts a program in its background has it ignored. While cleaning up, further ones are ignored.
    """

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
