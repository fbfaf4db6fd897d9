"""The files in which prometheus_client keeps each process's numbers: what dead processes counted goes into one file of each type.

Without it a scrape reads the files of every process that ever was. Whoever reads the files holds a shared lock and whoever merges
them an exclusive one, so that no number is seen twice or not at all. A merge that is killed is finished or undone by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.mmap_dict import MmapedDict

_LOCK = "files.lock"
_JOURNAL = "merge.json"
_FRESH = "merge.tmp"
_DEAD = "0"  # in the place of a process id


@contextlib.contextmanager
def _locked(folder: str | Path, how: int) -> Iterator[None]:
    handle = os.open(Path(folder) / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def reading(folder: str | Path) -> contextlib.AbstractContextManager[None]:
    """Keep the files as they are while they are read."""
    return _locked(folder, fcntl.LOCK_SH)


def compact(folder: str | Path) -> int:
    """Merge the files of processes that are dead; returns how many went."""
    root = Path(folder)
    with _locked(root, fcntl.LOCK_EX):
        _finish(root)
        dead: dict[str, list[Path]] = {}
        for path in sorted(root.glob("*.db")):
            kind, _, pid = path.stem.rpartition("_")
            if pid != _DEAD and not _is_alive(int(pid)):
                dead.setdefault(kind, []).append(path)
        for kind, paths in dead.items():
            if kind.startswith("gauge_live"):
                _remove(paths)  # what is true of the living alone
            else:
                _merge(root, kind, paths)
    return sum(len(paths) for paths in dead.values())


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _merge(root: Path, kind: str, paths: list[Path]) -> None:
    into = root / f"{kind}_{_DEAD}.db"
    values: dict[str, tuple[float, float]] = {}
    for path in (*([into] if into.exists() else []), *paths):
        for key, value, timestamp, _place in MmapedDict.read_all_values_from_file(path):  # type: ignore[no-untyped-call]
            values[key] = _joined(kind, values.get(key), (value, timestamp))
    fresh = root / _FRESH
    fresh.unlink(missing_ok=True)
    written: Any = MmapedDict(str(fresh))  # type: ignore[no-untyped-call] # prometheus_client leaves it bare
    for key, (value, timestamp) in values.items():
        written.write_value(key, value, timestamp)
    written.close()
    journal = root / _JOURNAL
    journal.write_text(json.dumps([path.name for path in paths]), encoding="ascii")
    fresh.replace(into)
    _remove(paths)
    journal.unlink()


def _joined(kind: str, seen: tuple[float, float] | None, new: tuple[float, float]) -> tuple[float, float]:
    if seen is None:
        return new
    if kind.startswith("gauge"):
        return max(seen, new, key=lambda one: one[1])  # the most recent one
    return seen[0] + new[0], 0.0


def _finish(root: Path) -> None:
    """Finish a merge whose file is in its place, and undo one whose is not."""
    journal, fresh = root / _JOURNAL, root / _FRESH
    if journal.exists():
        if not fresh.exists():
            with contextlib.suppress(ValueError):  # killed while it wrote the list: nothing was renamed yet
                _remove([root / str(name) for name in json.loads(journal.read_text(encoding="ascii"))])
        journal.unlink()
    fresh.unlink(missing_ok=True)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
