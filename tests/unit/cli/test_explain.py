"""``verifier explain``: nothing of the evidence is left out, nothing in it reaches the terminal as anything but text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.vectors import base_vector
from verifier.cases.explain import escaped, tell
from verifier.cases.form import CaseForm
from verifier.cli.appraise import command as appraise_command
from verifier.cli.explain import command
from verifier.tee.registry import SCHEMES


def _typed(*arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments])


def _machine(folder: Path) -> tuple[str, ...]:
    vector = base_vector("sev-snp")
    (folder / "endorsements").mkdir()
    for name, data in {**vector.endorsements, **vector.collateral}.items():
        (folder / "endorsements" / f"{name}.der").write_bytes(data)
    (folder / "report.bin").write_bytes(vector.parts["report"])
    typed = ("--scheme", "sev-snp", "--evidence", str(folder / "report.bin"))
    return (*typed, "--endorsements", str(folder / "endorsements"), "--at", "2027-01-15T08:00:00Z")


def test_checks_stand_in_their_order_up_to_the_one_that_said_no(tmp_path: Path) -> None:
    done = _typed(*_machine(tmp_path), "--format", "json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert [one["id"] for one in answer["checks"]] == [check.id for check in SCHEMES["sev-snp"].verification.checks]
    states = [one["state"] for one in answer["checks"]]
    assert states == ["held", "held", "failed", *["not reached"] * (len(states) - 3)]
    assert answer["check_id"] == "sev-snp.chain.root"
    assert answer["remedy"]
    assert {one["name"] for one in answer["evidence"]} >= {"measurement", "policy", "reported_tcb_parts.ucode"}
    assert all(one["meaning"] for one in answer["evidence"])


def test_text_has_the_evidence_in_words_and_what_to_change(tmp_path: Path) -> None:
    text = _typed(*_machine(tmp_path)).output
    for said in (
        "# launch digest: everything that was in the guest's memory",
        "(48 bytes)",
        "policy: 0x3001f (set: ",
        "smt allowed, reserved one",
        "FAIL  sev-snp.chain.root",
        "-     sev-snp.report.signature",
        "change  send the chain of a genuine AMD part",
    ):
        assert said in text


def test_evidence_that_cannot_be_read_is_malformed_here_too(tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(bytes(7))
    done = _typed("--scheme", "sev-snp", "--evidence", str(tmp_path / "report.bin"))
    assert done.exit_code == 2
    assert "no field of it can be read" in done.output
    assert "sev-snp.decode.report" in done.output
    assert "change  send the report as the firmware gave it" in done.output


@pytest.mark.parametrize("arguments", [(), ("--case", "nowhere"), ("--scheme", "sev-snp", "--evidence", "nowhere")])
def test_usage_is_usage(arguments: tuple[str, ...]) -> None:
    assert _typed(*arguments).exit_code == 64


def _form(**more: Any) -> CaseForm:
    def never(_files: Any) -> Any:
        raise AssertionError

    return CaseForm(platform="x", policy_keys=frozenset(), claims=never, judge=never, **more)


def test_values_are_shown_as_people_read_them() -> None:
    form = _form(
        words={"when": "a moment", "table": "a table", "table.inner": "a word", "rows.name": "a name"},
        bits={"flags": {"debug": 0, "other": 3}, "bytes": {"low": 0, "high": 8}},
        times={"when": "ms", "then": "s"},
    )
    claims = {
        "when": 1_700_000_000_123,
        "then": -1,
        "flags": "0x19",
        "none": "0x0",
        "bytes": "0101000000000000",
        "zero": "00" * 16,
        "yes": True,
        "absent": None,
        "rows": [{"name": "a"}, {"name": "b"}],
        "flat": [["sha256", [0, 1]], 7],
        "empty": {},
        "table": {"inner": 1, "outer": 2},
    }
    shown = {one.name: one.shown for one in tell(claims, form)}
    assert shown["when"] == "2023-11-14T22:13:20Z (1700000000123)"
    assert shown["then"] == "no moment that a calendar has (-1)"
    assert shown["flags"] == "0x19 (set: debug, other, bit 4)"
    assert shown["bytes"] == "0101000000000000 (set: low, high)"
    assert shown["zero"].endswith("(16 bytes, all zero)")
    assert (shown["yes"], shown["absent"], shown["empty"]) == ("yes", "not in the evidence", "none")
    assert (shown["rows.0.name"], shown["rows.1.name"]) == ("a", "b")
    assert shown["flat"] == "[sha256, [0, 1]], 7"
    meanings = {one.name: one.meaning for one in tell(claims, form)}
    assert (meanings["table.inner"], meanings["table.outer"], meanings["rows.1.name"]) == (
        "a word",
        "a table",
        "a name",
    )


def test_nothing_in_evidence_moves_the_cursor() -> None:
    assert escaped("a\x1b[2Jb\n\u202e") == "a\\x1b[2Jb\\n\\u202e"
    assert len(escaped("x" * 100_000)) < 3000
    (told,) = tell({"a\x1b": "b\x07"}, None)
    assert (told.name, told.shown, told.meaning) == ("a\\x1b", "b\\x07", "")


def test_every_published_case_is_explained_with_appraises_exit_code(evidence_cases: Path) -> None:
    folders = sorted(path.parent for path in (evidence_cases / "sev-snp").glob("*/case.json"))
    for folder in folders:
        done = _typed("--case", str(folder), "--format", "json")
        judged = CliRunner().invoke(appraise_command, ["--case", str(folder), "--format", "json"])
        assert done.exit_code == judged.exit_code
        answer, verdict = json.loads(done.stdout), json.loads(judged.stdout)
        assert {key: answer[key] for key in verdict} == verdict
        if answer["check_id"]:
            assert answer["remedy"], answer["check_id"]
            assert answer["detail"]
    assert folders
