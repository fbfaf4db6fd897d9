"""Nobody else's verifier disagrees with ours, but where docs/adr/0008 says who is right and why."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from tests.differential.comparing import Known, Tally, compare
from tests.differential.mutation import mutate
from tests.differential.runs import RUNS
from tests.support.oracles import Oracles, oracles, oracles_binary
from tests.support.sources import ROOT

SEED, COUNT = 20261123, 3_000
_ADR = ROOT / "docs" / "adr" / "0008-differential-tests.md"


@pytest.fixture(scope="module")
def process() -> Iterator[Oracles]:
    with oracles(oracles_binary()) as running:
        yield running


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_comparison_has_no_disagreement_that_is_not_decided(name: str, process: Oracles) -> None:
    tally = RUNS[name].start(process, SEED, COUNT)
    assert not tally.unexplained, "\n".join(tally.unexplained[:10])
    assert tally.inputs >= (50 if "vectors" in name else COUNT)
    # A comparison in which one side never says yes, or never no, compares nothing.
    assert tally.both_yes > tally.inputs // 10
    assert tally.both_no > tally.inputs // 10


def test_every_decided_difference_stands_in_the_adr() -> None:
    text = _ADR.read_text(encoding="utf-8")
    names = set()
    for source in (ROOT / "tests" / "differential").glob("*.py"):
        names |= set(re.findall(r'"((?:snp|log|quote|tdx|qvl|x509)-\d+) [^"]+"', source.read_text(encoding="utf-8")))
    assert names
    assert not sorted(name for name in names if f"| {name} |" not in text)
    assert not sorted(set(re.findall(r"^\| ((?:snp|log|quote|tdx|qvl|x509)-\d+) \|", text, re.MULTILINE)) - names)


def test_a_disagreement_is_noticed() -> None:
    tally = Tally()
    known = (Known("one", lambda ours, _theirs: ours.startswith("known")),)
    for ours, theirs in (("", ""), ("no", "no"), ("known: no", ""), ("other: no", ""), ("", "no")):
        compare(tally, "input", ours, theirs, known)
    assert (tally.inputs, tally.both_yes, tally.both_no, len(tally.unexplained)) == (5, 1, 1, 2)
    assert tally.known == {"one": 1}


def test_the_same_seed_gives_the_same_mutations() -> None:
    data = bytes(range(256))
    first, second = (
        [mutate(data, dice) for _ in range(50)]
        for dice in (random.Random(3), random.Random(3))  # noqa: S311
    )
    assert first == second
    assert len(set(first)) > 40
