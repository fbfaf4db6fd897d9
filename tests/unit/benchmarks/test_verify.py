"""The benchmark says no where a ratio is past its target."""

from __future__ import annotations

import pytest

from benchmarks.timing import judge
from benchmarks.verify.__main__ import TARGETS

GOOD = {"bare": [300.0] * 3, "warm": [330.0] * 3, "chain": [850.0] * 3, "go-sev-guest": [1300.0] * 3}


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"warm": [350.0] * 3}, ["warm / bare P-384"]),
        ({"warm": [350.0, 310.0, 310.0]}, []),
        ({"chain": [1000.0] * 3}, ["go-sev-guest / with chain"]),
        ({"go-sev-guest": [700.0] * 3}, ["go-sev-guest / warm", "go-sev-guest / with chain"]),
    ],
)
def test_a_ratio_past_its_target_is_missed(change: dict[str, list[float]], missed: list[str]) -> None:
    medians, ratios = judge({**GOOD, **change}, TARGETS)
    assert medians["bare"] == 300.0
    assert [name for name, result in ratios.items() if not result["met"]] == missed
