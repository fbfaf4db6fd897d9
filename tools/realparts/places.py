"""Where things are: the repository, the per-user cache and what is on PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Daemons live here, and an ordinary user's PATH often leaves it out.
_SYSTEM_FOLDERS = "/usr/local/sbin:/usr/sbin:/sbin"


def cache_root() -> Path:
    """Return the folder that everything built for this user is kept in."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG rules say that a relative path is to be ignored.
    folder = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return folder / "vault-attestation-bridge"


def part_folder(part: str, version: str) -> Path:
    """Return the folder of one version of one part, there or not."""
    return cache_root() / part / version


def log_file(name: str) -> Path:
    """Return the log of one long command, with its folder made."""
    folder = cache_root() / "log"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.log"


def command(name: str) -> Path | None:
    """Find a command on PATH or in the system's own folders."""
    found = shutil.which(name, path=os.environ.get("PATH", os.defpath) + os.pathsep + _SYSTEM_FOLDERS)
    return Path(found).absolute() if found else None
