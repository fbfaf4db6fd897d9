"""``verifier store`` as it is typed: records in words, a chain that is walked, challenges that are voided."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.commands import CommandPlace, command_place
from tests.support.stores import clock_ms, set_last_record_ms
from tests.support.verdicts import make_verdict
from verifier.adapters.clock import SystemClock
from verifier.cli.store import command
from verifier.formats.errors import CannotDecide


@pytest.fixture
def place(tmp_path: Path) -> Iterator[CommandPlace]:
    with command_place(tmp_path, command) as made:
        yield made


REFUSED: dict[str, Any] = {
    "outcome": "refused",
    "check_id": "sev-snp.rule.measurement",
    "jti": "",
    "claims_digest": b"",
    "findings": (
        {"rule": "sev-snp.rule.debug", "ok": True, "expected": False, "seen": False},
        {
            "rule": "sev-snp.rule.measurement",
            "ok": False,
            "expected": "aa",
            "seen": "bb",
            "identity": "guest@3",
            "detail": "another image booted",
            "remedy": "publish the new image's measurement",
        },
    ),
}


def test_records_are_listed_with_what_the_caller_was_not_told(place: CommandPlace) -> None:
    place.store.commit_verdict(make_verdict(now_ms=clock_ms(place.store)))
    place.store.commit_verdict(make_verdict(**REFUSED))

    lines = place.typed("records").output.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert lines[0].endswith("default payments accepted")
    assert lines[1].endswith("default payments refused sev-snp.rule.measurement")
    listed = place.done("records")["records"]
    assert [(one["seq"], one["outcome"], one["check_id"]) for one in listed] == [
        (1, "accepted", ""),
        (2, "refused", "sev-snp.rule.measurement"),
    ]
    assert listed[0].keys() == {"seq", "time", "tenant", "workload", "scheme", "outcome", "check_id"}


def test_without_a_number_the_newest_are_listed(place: CommandPlace) -> None:
    for _ in range(5):
        place.store.commit_verdict(make_verdict())

    def numbers(*arguments: str) -> list[int]:
        return [one["seq"] for one in place.done("records", *arguments)["records"]]

    assert numbers("--limit", "2") == [4, 5]
    assert numbers("--after", "1", "--limit", "2") == [2, 3]
    assert numbers("--after", "0") == [1, 2, 3, 4, 5]
    assert numbers("--after", "5") == []


def test_one_record_says_why_in_words(place: CommandPlace) -> None:
    place.store.commit_verdict(make_verdict(**REFUSED))

    text = place.typed("records", "--seq", "1").output
    assert "refused by sev-snp.rule.measurement" in text
    assert 'FAIL  sev-snp.rule.measurement (guest@3): expected "aa", seen "bb"' in text
    assert "another image booted" in text
    assert "publish the new image's measurement" in text
    assert "ok    sev-snp.rule.debug" in text
    assert "192.0.2.7" in text


def test_one_record_as_json_has_every_column_and_says_whether_the_evidence_is_kept(place: CommandPlace) -> None:
    verdict = make_verdict(**REFUSED)
    place.store.commit_verdict(verdict)
    record = place.done("records", "--seq", "1")["record"]

    assert [finding["rule"] for finding in record["findings"]] == [f["rule"] for f in REFUSED["findings"]]
    assert record["policy_digest"] == verdict.policy_digest.hex()
    assert record["evidence_kept"] is True
    place.store.purge(now_ms=0, evidence_before_ms=1 << 60)
    assert place.done("records", "--seq", "1")["record"]["evidence_kept"] is False


def test_a_record_of_an_unknown_workload_is_shown_too(place: CommandPlace) -> None:
    """Its findings have neither ``expected`` nor a policy."""
    finding = {"rule": "policy.workload", "ok": False, "detail": "workload: got 'x', want a registered one"}
    change = {"workload_uuid": "", "policy": "", "policy_digest": b"", "instance": "", "findings": (finding,)}
    place.store.commit_verdict(make_verdict(**{**REFUSED, **change}))

    text = place.typed("records", "--seq", "1").output
    assert "FAIL  policy.workload\n        workload: got 'x'" in text
    assert "not registered" in text


def test_a_record_that_is_not_there_is_a_no(place: CommandPlace) -> None:
    result = place.typed("records", "--seq", "7")

    assert result.exit_code == 1
    assert "no record 7" in result.output


def test_an_empty_store_lists_nothing(place: CommandPlace) -> None:
    assert place.typed("records").output == "no records\n"
    assert place.done("verify") == {"outcome": "unbroken", "seq": 0, "digest": "00" * 32}


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--seq", "0"], ["--after", "-1"], ["--seq", "x"]])
def test_senseless_numbers_are_usage_errors(place: CommandPlace, wrong: list[str]) -> None:
    assert place.typed("records", *wrong).exit_code == 64


def test_verify_walks_the_chain_and_says_where_it_ends(place: CommandPlace) -> None:
    ends = [place.store.commit_verdict(make_verdict()) for _ in range(3)]

    assert place.done("verify") == {"outcome": "unbroken", "seq": 3, "digest": ends[-1].digest.hex()}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("UPDATE records SET check_id = 'x' WHERE seq = 2", "record 2"),
        ("UPDATE records SET findings = '[]' WHERE seq = 3", "record 3"),
        ("DELETE FROM records WHERE seq = 2", "got 3, want 2"),
        ("DELETE FROM records WHERE seq = 4", "end of the chain"),
    ],
)
def test_verify_names_the_record_where_the_chain_is_broken(place: CommandPlace, damage: str, named: str) -> None:
    for _ in range(4):
        place.store.commit_verdict(make_verdict())
    with sqlite3.connect(place.database) as connection:
        connection.execute(damage)
    connection.close()
    result = place.typed("verify", "--format", "json")

    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert (answer["outcome"], answer["check_id"]) == ("rejected", "service.record.chain")
    assert named in answer["detail"]


def test_raising_the_epoch_says_what_it_does(place: CommandPlace) -> None:
    before = place.store.epoch()
    result = place.typed("raise-epoch")

    assert result.exit_code == 0
    assert "void" in result.output
    assert place.store.epoch() != before
    assert str(place.store.epoch()) in result.output


def test_settings_that_are_wrong_are_usage_errors(tmp_path: Path) -> None:
    config = tmp_path / "verifier.toml"
    config.write_text("colour = 1\n")
    for words in (["records"], ["verify"], ["raise-epoch"]):
        assert CliRunner().invoke(command, [*words, "--config", str(config)]).exit_code == 64


def test_an_accepted_clock_is_all_that_the_store_remembers_and_a_record_says_who_accepted_it(
    place: CommandPlace,
) -> None:
    place.store.commit_verdict(make_verdict())
    far_ms, epoch = clock_ms(place.store) + 40 * 86_400_000, place.store.epoch()
    set_last_record_ms(place.store, far_ms)
    place.store.keep_time(0, far_ms)
    with pytest.raises(CannotDecide, match=r"^service\.clock"):
        place.store.commit_verdict(make_verdict())

    answer = place.done("accept-clock", "--reason", "NTP was off")
    assert place.store.commit_verdict(make_verdict()).seq == 3
    assert place.store.epoch() != epoch
    listed = place.typed("records").output.splitlines()[1]
    assert listed.endswith("- - clock-accepted service.clock")
    shown = place.typed("records", "--seq", str(answer["seq"])).output
    assert "NTP was off" in shown
    assert f"from: {answer['by']}" in shown
    assert place.store.verify_chain().seq == 3


def test_no_clock_is_accepted_that_the_database_contradicts(
    place: CommandPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SystemClock, "now_ms", lambda _self: time.time_ns() // 1_000_000 + 60_000)
    refused = place.typed("accept-clock", "--reason", "it is right")
    assert refused.exit_code != 0
    assert place.store.head().seq == 0
