"""What all tests share: where published evidence and the real parts are, and that a missing one is said aloud.

``EVIDENCE_CASES`` names the folder of published cases; no default exists. Where a part is missing its tests skip,
unless ``VAB_TEST_REQUIRE_PARTS=1`` says that everything has to be there.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.parts import evidence_root, missing

# How long an example takes says something of the machine and nothing of what is tested. `make check` takes fewer examples.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("whole"), max_examples=20)
settings.load_profile("whole")


@pytest.fixture(scope="session")
def evidence_cases() -> Path:
    """Return the folder of published evidence."""
    root = evidence_root()
    if root is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    return root


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: ids stay readable, and the same in every process whatever was signed into them."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) and len(val) > 16 else None
