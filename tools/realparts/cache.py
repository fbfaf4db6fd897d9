"""The cache: each part is built once, whole or not at all, for all processes."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tools.realparts.errors import FailedPartError
from tools.realparts.places import part_folder
from tools.realparts.running import say


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[None]:
    """Hold a lock that the kernel drops with the process, so that a kill leaves nothing to clear away."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{lock.parent.name}: another process is at it, waiting for it to finish")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_once(part: str, version: str, product: str, build: Callable[[Path, Path], None]) -> Path:
    """Return a product of a part's folder, built first where it is not there yet.

    `build` is given the folder to fill and the folder that this one becomes, for files that name their own place.
    """
    final = part_folder(part, version)
    if (final / product).exists():
        return final / product
    with locked(final.parent / f".{version}.lock"):
        if not (final / product).exists():
            _build(final, product, build)
    return final / product


def _build(final: Path, product: str, build: Callable[[Path, Path], None]) -> None:
    """Fill a folder beside the final one and rename it: a reader never sees half a part."""
    prefix = f".{final.name}.new."
    # Only the holder of the lock comes here, so what is left over belongs to a process that was killed; a name of its
    # own each time, because that process's child may still be writing.
    for left in final.parent.glob(prefix + "*"):
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(final, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=prefix, dir=final.parent))
    fresh.chmod(0o755)
    try:
        build(fresh, final)
        if not (fresh / product).exists():
            raise FailedPartError(f"{final.parent.name}: the build ended well but left no {product}.")
        fresh.rename(final)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
