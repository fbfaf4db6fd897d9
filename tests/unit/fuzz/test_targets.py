"""The fuzz targets: every one has a seed, takes it, and a finding would be seen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.fuzz.seeds import seeds


@pytest.mark.parametrize("name", sorted(seeds()))
def test_a_target_takes_its_seed(name: str, tmp_path: object) -> None:
    """Run over the seed alone, in a process of its own: atheris instruments what it imports."""
    path = f"{tmp_path}/seed"
    with open(path, "wb") as file:  # noqa: PTH123 - a plain file
        file.write(seeds()[name])
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.targets", name, path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert "Executed" in done.stderr
