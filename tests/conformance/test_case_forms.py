"""Platforms that are judged offline only keep the same promises as schemes: an id, a vector, a line in the docs."""

from __future__ import annotations

import pytest

from tests.support.sources import undocumented
from tests.support.vectors import case_vectors_of, run_case_vector
from verifier.cases.registry import CASES
from verifier.tee.catalogue import listed
from verifier.tee.registry import SCHEMES

NAMES = sorted(CASES.keys() - SCHEMES.keys())


def _ids(name: str) -> set[str]:
    return {one.id for one in listed(name)}


@pytest.mark.parametrize("name", NAMES)
def test_forged_cases_end_as_they_say(name: str, subtests: pytest.Subtests) -> None:
    for vector in case_vectors_of(name):
        with subtests.test(vector.name):
            assert run_case_vector(vector, CASES[name]) == (vector.outcome, vector.check_id)


@pytest.mark.parametrize("name", NAMES)
def test_forged_cases_are_named_once(name: str) -> None:
    names = [vector.name for vector in case_vectors_of(name)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", NAMES)
def test_every_id_has_a_forged_case(name: str) -> None:
    ids = _ids(name)
    assert ids
    assert not ids - {v.check_id for v in case_vectors_of(name)}
    assert "accepted" in {v.outcome for v in case_vectors_of(name)}


@pytest.mark.parametrize("name", NAMES)
def test_every_id_has_its_line_in_the_docs(name: str) -> None:
    assert not undocumented(name, _ids(name))
