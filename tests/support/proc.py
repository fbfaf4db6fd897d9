"""Processes of a live verifier, as the kernel lists them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.support.live import LiveVerifier
from tests.support.waiting import wait_for


def processes_of(live: LiveVerifier, name: str) -> dict[int, int]:
    """Return pid -> parent's pid of this verifier's processes of a name (``ps -o comm``)."""
    found: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
            status = (path / "stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            continue  # it ended while we looked
        if f"({name})" in status and str(live.folder.settings_file).encode() in words:
            state, parent = status.rpartition(")")[2].split()[:2]
            if state != "Z":
                found[int(path.name)] = int(parent)
    return found


def web_processes(live: LiveVerifier) -> list[int]:
    """Return the processes that serve: children of the first one of that name."""
    ours = processes_of(live, "verifier-web")
    return [pid for pid, parent in ours.items() if parent in ours]


def replace_web_processes(live: LiveVerifier) -> None:
    """Kill the processes that serve, and wait until as many others do."""
    before = web_processes(live)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(set(web_processes(live)) - set(before)) >= len(before) and live.folder.is_ready())
