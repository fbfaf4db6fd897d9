"""Cases that nobody published: every failure and every file form that a further case of these platforms may come with.

Derived at test time from ``EVIDENCE_CASES``, written to a temporary folder, judged the public way.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.derived_cases import Case, Derived
from tests.support.derived_recipes import RECIPES
from tests.support.parts import evidence_root
from verifier.adapters.case_folder import read_case
from verifier.appraise.offline import OfflineVerdict, judge_case
from verifier.tee.registry import CASES


def _derived() -> list[Any]:
    if evidence_root() is None:
        return []
    return [pytest.param(d, id=d.id) for recipe in RECIPES for d in recipe()]


def _judge(folder: Path) -> OfflineVerdict:
    files = read_case(folder, CASES)
    return judge_case(CASES[files.platform], files)


def _claims(verdict: OfflineVerdict) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(json.dumps(dict(verdict.claims)))
    return claims


@cache
def _claims_of(platform: str, name: str) -> str:
    root = evidence_root()
    assert root is not None
    return json.dumps(_claims(_judge(root / platform / name)), sort_keys=True)


@pytest.mark.parametrize("derived", _derived())
def test_a_derived_case_gets_its_verdict(derived: Derived, tmp_path: Path) -> None:
    case: Case = derived.case
    verdict = _judge(case.write(tmp_path / "case"))
    said = f"{verdict.check_id}: {verdict.detail}"
    assert verdict.verdict == derived.expect, said
    if derived.ids:
        assert verdict.check_id in derived.ids, said
    if derived.same_claims:
        assert _claims(verdict) == json.loads(_claims_of(case.platform, case.name))
