"""Real parts: found, or missing in the way that the run was asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest


def parts_required() -> bool:
    """Tell whether a missing part is a failure (``VAB_TEST_REQUIRE_PARTS=1``)."""
    return os.environ.get("VAB_TEST_REQUIRE_PARTS") == "1"


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where every part has to be there."""
    if parts_required():
        pytest.fail(what)
    pytest.skip(what)


def evidence_root() -> Path | None:
    """Return the folder that ``EVIDENCE_CASES`` names, if it does."""
    name = os.environ.get("EVIDENCE_CASES", "")
    path = Path(name)
    return path if name and path.is_dir() else None


def published_evidence() -> Path:
    """Return the folder of published evidence; the test is skipped, or fails, without one."""
    root = evidence_root()
    if root is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    return root
