"""What tests of the service share: a simulated verifier's keys."""

from __future__ import annotations

import time

import pytest

from tests.support.keyfiles import KeyFolder, make_key_folder


@pytest.fixture(scope="session")
def simulated_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Key files take a while to make; no test changes this one."""
    return make_key_folder(tmp_path_factory.mktemp("keys") / "s", simulated=True, now=int(time.time()) - 3600)
