"""One live verifier for the tests of a module that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.live import LiveVerifier, live_verifier


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveVerifier]:
    """A verifier with two workers."""
    with live_verifier(tmp_path_factory.mktemp("live"), {"workers": 2}) as verifier:
        yield verifier
