"""docs/architecture.md draws the imports as they are, and every module that it sends a reader to is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")


def test_the_page_shows_the_graph_and_no_arrow_goes_up_or_in_a_circle() -> None:
    done = subprocess.run([sys.executable, "-m", "tools.graph"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    *drawing, summary = done.stdout.splitlines()
    assert summary.endswith("0 arrows up, 0 circles of modules")
    assert "\n".join(drawing) in PAGE, "run `python -m tools.graph` and put its drawing into docs/architecture.md"


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:verifier|attester|forge)/[a-z0-9_/]+(?:\.py|/))`", PAGE)))
)
def test_every_module_that_the_page_names_exists(path: str) -> None:
    assert (ROOT / path).exists()
