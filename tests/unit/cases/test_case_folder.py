"""A case that is itself wrong is a usage error, never a verdict."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict

FORM = CaseForm(
    platform="toy", policy_keys=frozenset({"nonce"}), claims=lambda _files: {}, judge=lambda _files: CaseVerdict()
)
FORMS = {"toy": FORM}


def _case(folder: Path, **change: Any) -> Path:
    (folder / "quote.bin").write_bytes(b"quote")
    case = {
        "platform": "toy",
        "evidence": ["quote.bin"],
        "collateral": [],
        "verify_at": "2026-01-01T00:00:00Z",
        "policy": {"nonce": "00"},
        "sha256": {"quote.bin": hashlib.sha256(b"quote").hexdigest()},
        **change,
    }
    (folder / "case.json").write_text(json.dumps(case), encoding="utf-8")
    return folder


def test_a_case_is_read_whole(tmp_path: Path) -> None:
    files = read_case(_case(tmp_path, crl_required=True), FORMS)

    assert files == CaseFiles("toy", {"quote.bin": b"quote"}, {}, {"nonce": "00"}, 1767225600, crl_required=True)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"platform": "other"}, "platform"),
        ({"platform": ["toy"]}, "platform"),
        ({"policy": {"nonse": "00"}}, "policy.nonse"),
        ({"policy": []}, "policy"),
        ({"sha256": {"quote.bin": "00"}}, "sha256"),
        ({"evidence": ["missing.bin"]}, "missing.bin"),
        ({"evidence": ["../quote.bin"]}, "evidence"),
        ({"evidence": "quote.bin"}, "evidence"),
        ({"verify_at": "yesterday"}, "verify_at"),
        ({"verify_at": "2026-01-01T00:00:00"}, "verify_at"),
        ({"crl_required": "yes"}, "crl_required"),
    ],
)
def test_a_wrong_case_says_what_is_wrong(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    with pytest.raises(CaseError, match=word):
        read_case(_case(tmp_path, **change), FORMS)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
def test_a_case_json_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "case.json").write_text(text, encoding="utf-8")

    with pytest.raises(CaseError):
        read_case(tmp_path, FORMS)
