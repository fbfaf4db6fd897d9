"""Cases that nobody published: every failure and every file form that a further case of these platforms may come with.

Derived at test time from ``EVIDENCE_CASES``, written to a temporary folder, judged the public way.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.derived_cases import Case, Derived, base
from tests.support.derived_recipes import RECIPES
from tests.support.parts import evidence_root, missing
from verifier.cases.folder import read_case
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES
from verifier.cli.appraise import command as appraise_command


def _derived() -> list[Any]:
    if evidence_root() is None:
        return []
    return [pytest.param(d, id=d.id) for recipe in RECIPES for d in recipe()]


EXITS = {"accepted": 0, "genuine": 0, "rejected": 1, "malformed": 2, "cannot-decide": 3}
BASE = ("sev-snp", "milan-v3-vcek-oak-containers")


def _typed(folder: Path) -> Result:
    return CliRunner().invoke(appraise_command, ["--case", str(folder), "--format", "json"])


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
        assert verdict.remedy, f"{verdict.check_id}: nothing says what to change"
    claims, original = _claims(verdict), json.loads(_claims_of(case.platform, case.name))
    if derived.same_claims:
        assert claims == original
    assert {name: claims.get(name) for name in derived.kept} == {name: original[name] for name in derived.kept}


@pytest.mark.parametrize("derived", _derived()[::61])
def test_the_command_says_the_same(derived: Derived, tmp_path: Path) -> None:
    folder = derived.case.write(tmp_path / "case")
    verdict, typed = _judge(folder), _typed(folder)
    answer = json.loads(typed.stdout)
    assert (answer["verdict"], answer["check_id"]) == (derived.expect, verdict.check_id)
    assert answer["claims"] == _claims(verdict)
    assert typed.exit_code == EXITS[answer["outcome"]]


@pytest.mark.parametrize(
    ("change", "files"),
    [
        ({"platform": "sev"}, {}),
        ({"policy": {"allow_everything": True}}, {}),
        ({"policy": {"allow_debug": "no"}}, {}),
        ({"verify_at": "soon"}, {}),
        ({"crl_required": 1}, {}),
        ({}, {"report.bin": b"another"}),
        ({}, {"report.bin": None}),
        ({}, {"case.json": b"{"}),
        ({}, {"case.json": b"[]"}),
        ({}, {"case.json": b"\xff"}),
    ],
)
def test_a_case_that_is_wrong_itself_is_a_usage_error(
    change: dict[str, Any], files: dict[str, bytes | None], tmp_path: Path
) -> None:
    if evidence_root() is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    case = base(*BASE)
    case.document |= change
    folder = case.write(tmp_path / "case")
    for name, data in files.items():
        (folder / name).unlink() if data is None else (folder / name).write_bytes(data)
    assert _typed(folder).exit_code == 64


def test_there_is_published_evidence_to_derive_from() -> None:
    if evidence_root() is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    platforms = {derived.values[0].case.platform for derived in _derived()}
    assert platforms == CASES.keys()


def test_a_file_without_a_digest_is_read(tmp_path: Path) -> None:
    if evidence_root() is None:
        missing("EVIDENCE_CASES names no folder of published evidence")
    folder = base(*BASE).write(tmp_path / "case")
    stated = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    for digests in ({k: v for k, v in stated["sha256"].items() if k != "report.bin"}, {}):
        (folder / "case.json").write_text(json.dumps({**stated, "sha256": digests}), encoding="utf-8")
        assert _judge(folder).verdict == "valid"
