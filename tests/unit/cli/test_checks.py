"""``verifier checks`` and ``attester checks``: all ids, those below a prefix, one; for an unknown prefix what is near."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner

from attester.cli.checks import command as of_attester
from verifier.cli.checks import command as of_verifier
from verifier.tee.registry import SCHEMES


def _listed(command: click.Command, *arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(command, [*arguments, "--format", "json"])
    assert result.exit_code == 0, result.output
    answer: dict[str, list[dict[str, Any]]] = json.loads(result.stdout)
    return answer["checks"]


def test_one_id_is_told_with_its_kind_its_meaning_and_its_remedy() -> None:
    result = CliRunner().invoke(of_verifier, ["sev-snp.vmpl"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert (lines[0], len(lines)) == ("sev-snp.vmpl (rule)", 3)
    assert lines[1].startswith("  VMPL is exactly")
    assert lines[2].startswith("  remedy: ")


def test_a_prefix_is_whole_steps_of_an_id() -> None:
    assert [one["id"] for one in _listed(of_verifier, "service.nonce")] == [
        f"service.nonce.{name}" for name in ("mac", "epoch", "expired", "spent")
    ]
    assert {one["id"].partition(".")[0] for one in _listed(of_verifier, "sev-snp")} == {"sev-snp"}


def test_without_a_prefix_every_owner_has_its_ids_and_each_id_stands_once() -> None:
    found = [one["id"] for one in _listed(of_verifier)]
    assert len(set(found)) == len(found)
    assert {i.partition(".")[0] for i in found} >= {*SCHEMES, "wire", "service", "policy", "lint", "ima", "ccel"}


def test_the_attester_lists_its_own() -> None:
    found = _listed(of_attester)
    assert {one["id"].partition(".")[0] for one in found} == {"attester", "answer"}
    assert {one["kind"] for one in found} == {"malformed", "rejected", "cannot-decide"}
    assert all(one["remedy"] for one in found)


@pytest.mark.parametrize(
    ("command", "prefix", "near"),
    [
        (of_verifier, "sev-snp.vmlp", "sev-snp.vmpl"),
        (of_verifier, "sevsnp", "sev-snp"),
        (of_verifier, "service.nonces", "service.nonce"),
        (of_attester, "attester.valut", "attester.vault"),
    ],
)
def test_a_prefix_that_no_id_has_is_a_no_with_what_is_near(command: click.Command, prefix: str, near: str) -> None:
    told = CliRunner().invoke(command, [prefix])
    assert told.exit_code == 1
    assert near in told.stdout
    answer = json.loads(CliRunner().invoke(command, [prefix, "--format", "json"]).stdout)
    assert answer["checks"] == []
    assert near in answer["near"]


def test_a_prefix_like_nothing_at_all_is_a_no_without_one() -> None:
    told = CliRunner().invoke(of_verifier, ["0000000000"])
    assert (told.exit_code, told.stdout) == (1, "no check id is or begins with 0000000000\n")
