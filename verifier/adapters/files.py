"""Files that are there whole or not at all, whatever is killed in the middle."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def replace_durably(path: Path, content: bytes) -> None:
    """Replace a file by a new one of mode 0600: write, sync, rename, sync the folder. It keeps its owner.

    A reader, and a process that starts after a kill or a power loss, sees the old file or the new one. What a killed writer leaves
    begins with a dot and does not end as the file does. Two writers at once need a lock. ``OSError`` where it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            keep_owner(file.fileno(), path)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def keep_owner(handle: int, path: Path) -> None:
    """Give a file the owner of the one that it stands for: root may rotate the keys of a service that runs as another."""
    if os.geteuid() == 0 and path.exists():
        owner = path.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)
