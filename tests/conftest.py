"""What all tests share: where published evidence and the real parts are, and that a missing one is said aloud.

``EVIDENCE_CASES`` names the folder of published cases; no default exists. Where a part is missing its tests skip,
unless ``VAB_TEST_REQUIRE_PARTS=1`` says that everything has to be there.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.parts import evidence_root, missing


@pytest.fixture(scope="session")
def evidence_cases() -> Path:
    """Return the folder of published evidence."""
    root = evidence_root()
    if root is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    return root
