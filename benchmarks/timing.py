"""What the benchmarks of verification share: the clock, and rivals that are built from Go modules."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


class MissingPartError(Exception):
    """What the benchmark needs and this machine has not."""


def timed(work: Callable[[], object], seconds: float) -> float:
    """Return the median microseconds of a call, over about that many seconds: neighbours that interrupt do not move it."""
    work()
    calls: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        work()
        calls.append(time.perf_counter() - start)
    return statistics.median(calls) * 1e6


def go(*arguments: str, cwd: Path) -> str:
    """Run the Go command and return what it printed."""
    found = shutil.which("go")
    if found is None:
        raise MissingPartError(f"go: not on PATH; install Go 1.21 or later to measure against {cwd.name}")
    done = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"go {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def go_built(module: Path, folder: Path) -> Path:
    """Build a rival's program into a folder."""
    program = folder / module.name
    go("build", "-o", str(program), ".", cwd=module)
    return program
