"""Logs of the kernel, as files of securityfs and sysfs: read once, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from verifier.formats.errors import CannotDecide

LOG_MAX: Final = 1024 * 1024  # the wire's cap (docs/api.md)


def read_log(path: str, check_id: str) -> bytes:
    """Read a log. ``CannotDecide(check_id)`` where it cannot be read, and for more than ``LOG_MAX`` bytes."""
    try:
        return _read(path, check_id)
    except FileNotFoundError as error:
        raise CannotDecide(check_id, f"{path}: {error.strerror}") from None


def read_boot_log(path: str, check_id: str) -> bytes:
    """Read the log of the boot. A machine that has none, or names none, sends none: the policy says whether that will do."""
    try:
        return _read(path, check_id) if path else b""
    except FileNotFoundError:
        return b""


def _read(path: str, check_id: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            log = file.read(LOG_MAX + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise CannotDecide(check_id, f"{path}: {error.strerror}") from None
    if len(log) > LOG_MAX:
        raise CannotDecide(check_id, f"{path}: got more than {LOG_MAX} bytes, want at most that")
    return log
