"""The tests of one scheme run in one worker: its vectors are forged once a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from verifier.cases.registry import CASES
from verifier.tee.registry import SCHEMES


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group by scheme."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.is_relative_to(Path(__file__).parent):
            given = item.callspec.params if hasattr(item, "callspec") else {}
            name = given.get("name", given.get("platform"))
            if name in SCHEMES or name in CASES:
                item.add_marker(pytest.mark.xdist_group(f"scheme {name}"))
