"""What tests of adapters share: a store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stores import SEALER
from verifier.adapters.sql.store import SqlStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Return an empty store in a file."""
    opened = open_store(f"sqlite:///{tmp_path}/verifier.db", SEALER)
    yield opened
    opened.close()
