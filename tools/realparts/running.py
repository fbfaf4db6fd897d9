"""Running other programs: short questions, and long work that shows that it is still alive."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.realparts.errors import FailedPartError
from tools.realparts.places import log_file

_TAIL_LINES = 15
_LINE_WIDTH = 100


def say(text: str) -> None:
    """Tell a person how it goes; stdout is kept for the answer."""
    print(text, file=sys.stderr, flush=True)


def ask(words: Sequence[str | Path], *, cwd: Path | None = None, seconds: float = 60) -> str | None:
    """Return what a short command prints, or None where it cannot be run, fails or hangs."""
    try:
        done = subprocess.run(
            [str(word) for word in words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def run_long(
    name: str,
    words: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: Path | None = None,
) -> None:
    """Run a command that may take minutes: output to a log, a line on stderr every so often, a sentence if it fails."""
    log = log_file(name)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        source = stack.enter_context(stdin.open("rb")) if stdin else subprocess.DEVNULL
        try:
            child = subprocess.Popen(
                [str(word) for word in words],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=source,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise FailedPartError(f"{name}: {words[0]} cannot be started: {error}.") from error
        status = _watch(name, child, log, started)
    if status != 0:
        say(tail(log))
        raise FailedPartError(f"{name}: {Path(words[0]).name} ended with status {status}; the whole log is {log}.")
    say(f"{name}: done in {time.monotonic() - started:.0f} s")


def _watch(name: str, child: subprocess.Popen[bytes], log: Path, started: float) -> int:
    """Wait for a child, saying now and then how far it is; an interrupted wait ends the child too."""
    pause = float(os.environ.get("VAB_PROGRESS_SECONDS", "15"))
    try:
        while True:
            try:
                return child.wait(timeout=pause)
            except subprocess.TimeoutExpired:
                say(f"{name}: {time.monotonic() - started:.0f} s … {_last_line(log)}")
    except BaseException:
        child.terminate()
        child.wait()
        raise


def _last_line(log: Path) -> str:
    lines = tail(log).splitlines()
    return lines[-1][:_LINE_WIDTH] if lines else ""


def tail(log: Path) -> str:
    """Return the last lines of a log, without reading the whole of a large one."""
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - 8192))
        text = handle.read().decode(errors="replace")
    return "\n".join(line for line in text.splitlines()[-_TAIL_LINES:] if line.strip())
