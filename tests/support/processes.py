"""Processes of a test's own, forked from the test run (nothing is imported again), to be waited for or killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TextIO


@dataclass
class Child:
    """A forked process; ``output`` is what it prints and how it fails."""

    pid: int
    output: TextIO
    status: int | None = None

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)

    def finish(self) -> tuple[int, str]:
        """Wait for the end; returns the exit status (minus the signal, where one ended it) and the output left."""
        rest = self.output.read()
        self.output.close()
        if self.status is None:
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status, rest


StartChild = Callable[[Callable[[], None]], Child]


def _run(work: Callable[[], None], output: int) -> None:
    status = 1
    try:
        sys.stdout = sys.stderr = os.fdopen(output, "w", buffering=1)
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the test run's own handlers must not see it in this process
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(status)


@contextlib.contextmanager
def child_processes() -> Iterator[StartChild]:
    """Give a function that forks; whatever still runs at the end of the block is killed."""
    started: list[Child] = []

    def start(work: Callable[[], None]) -> Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _run(work, writing)
        os.close(writing)
        child = Child(pid, os.fdopen(reading))
        started.append(child)
        return child

    try:
        yield start
    finally:
        for child in started:
            if child.status is None:
                child.kill()
                child.finish()
