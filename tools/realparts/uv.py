"""uv, which makes the virtualenv from the lock file."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.realparts.cache import build_once
from tools.realparts.errors import MissingToolError
from tools.realparts.places import command
from tools.realparts.running import ask, run_long, say
from tools.realparts.versions import dotted, find_version

VERSION = (0, 13, 9)


def uv() -> Path:
    """Return uv: from PATH where it is of our series, else one installed for this user alone."""
    found = command("uv")
    version = find_version(ask([found, "--version"])) if found else None
    # Another series may write the lock file in another form.
    if found and version and version[:2] == VERSION[:2] and version >= VERSION:
        say(f"uv: {dotted(version)} on PATH")
        return found
    return build_once("uv", dotted(VERSION), "bin/uv", _install)


def _install(fresh: Path, _final: Path) -> None:
    """Install uv with pip; `--target` and not a virtualenv, which would not survive being renamed."""
    if ask([sys.executable, "-m", "pip", "--version"]) is None:
        raise MissingToolError(
            f"uv {dotted(VERSION)} is not on PATH, and {sys.executable} has no pip to fetch it with: "
            "install uv, or pip (Debian: python3-pip)."
        )
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run_long("install-uv", [*pip, "--target", fresh, f"uv=={dotted(VERSION)}"])
