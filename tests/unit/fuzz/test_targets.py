"""The fuzz targets: every one has a seed, takes it, and would show a finding."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.seeds import seeds
from tests.support.parts import missing

try:
    import atheris  # noqa: F401
except ImportError:
    missing("atheris is not installed: it has wheels for CPython 3.11 alone")
from tests.fuzz.targets import TARGETS, _only


def test_every_target_has_a_seed() -> None:
    assert TARGETS.keys() == seeds().keys()


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_a_target_takes_its_seed_and_what_is_left_of_it(name: str) -> None:
    seed, chance = seeds()[name], random.Random(name)  # noqa: S311 - for tests
    for data in (seed, b"", *(seed[: chance.randrange(len(seed))] for _ in range(20))):
        TARGETS[name](data)


def test_a_reader_that_raises_anything_else_is_a_finding() -> None:
    with pytest.raises(IndexError):
        _only(lambda data: data[0], ValueError)(b"")
