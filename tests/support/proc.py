"""Processes of a live verifier, as the kernel lists them."""

from __future__ import annotations

from pathlib import Path

from tests.support.live import LiveVerifier


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
