"""Nothing is left unsaid: every claim has its meaning in words. What ids mean: ``test_catalogue``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.parts import evidence_root
from tests.support.vectors import CaseVector, Vector, recipes_of
from verifier.cases.explain import tell
from verifier.cases.folder import read_case
from verifier.cases.judge import judge_case
from verifier.cases.registry import CASES
from verifier.formats.errors import MalformedEvidence
from verifier.tee.catalogue import remedy_of
from verifier.tee.registry import SCHEMES


def _forged_claims(platform: str) -> Iterator[Mapping[str, Any]]:
    for vector in recipes_of(platform).vectors():
        try:
            if isinstance(vector, Vector):
                yield SCHEMES[platform].form.claims(SCHEMES[platform].form.decode(vector.parts))
            elif isinstance(vector, CaseVector):
                yield CASES[platform].claims(vector.files)
        except (MalformedEvidence, LookupError):
            continue


def _published_claims(platform: str) -> Iterator[Mapping[str, Any]]:
    root = evidence_root()
    for folder in () if root is None else sorted((root / platform).glob("*/case.json")):
        yield judge_case(CASES[platform], read_case(folder.parent, CASES)).claims


@pytest.mark.parametrize("platform", sorted(CASES))
def test_every_claim_is_explained(platform: str) -> None:
    form, unsaid, seen = CASES[platform], set(), 0
    for claims in (*_forged_claims(platform), *_published_claims(platform)):
        plain = json.loads(json.dumps(dict(claims)))
        for told in tell(plain, form):
            seen += 1
            if not told.meaning:
                unsaid.add(told.name)
    assert seen
    assert not unsaid


@pytest.mark.parametrize("platform", sorted(CASES))
def test_words_are_one_clause(platform: str) -> None:
    form = CASES[platform]
    for name, text in form.words.items():
        assert text == text.strip(), name
        assert not text.endswith("."), name


def test_ids_of_no_scheme_say_what_to_change() -> None:
    assert remedy_of("binding.user-data").startswith("ask for fresh evidence over this challenge")
    assert remedy_of("") == ""
