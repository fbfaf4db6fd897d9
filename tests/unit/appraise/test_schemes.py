"""Real schemes under the engine: a forged TPM's machine against documents in the final schema."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from tests.support.vectors import verify_vector
from verifier.appraise.bundle import compile_all, gather
from verifier.appraise.documents import parse_document
from verifier.appraise.engine import appraise
from verifier.appraise.lint import lint
from verifier.appraise.plain import PlainDocument
from verifier.appraise.result import Appraisal
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES

CLASSES = ("platform", "firmware", "workload", "config")


@pytest.fixture(scope="module")
def recipes() -> Any:
    return importlib.import_module("tests.vectors.tpm2.forging")


def _documents(values: dict[str, dict[str, Any]], unchecked: list[str]) -> list[dict[str, Any]]:
    common = {"tenant": "acme", "version": 1, "scheme": "tpm2"}
    documents = [
        {**common, "document": "identity", "kind": kind, "name": kind, "origin": "forged for a test", "values": given}
        for kind, given in values.items()
    ]
    named = {kind: [{"name": kind, "version": 1}] for kind in values}
    return [*documents, {**common, **named, "document": "policy", "name": "whole", "unchecked": unchecked}]


def _values(recipes: Any, machine: Any) -> dict[str, dict[str, Any]]:
    """Return values for every class, from the recipes' reference values, one for every rule."""
    by_rule = recipes.good_values(machine)
    values: dict[str, dict[str, Any]] = {kind: {} for kind in CLASSES}
    for rule in SCHEMES["tpm2"].appraisal.rules:
        values[rule.scope][rule.field] = by_rule[rule.id]
    return json.loads(json.dumps(values))


def _judge(recipes: Any, machine: Any, values: dict[str, dict[str, Any]], unchecked: list[str]) -> Appraisal:
    parsed = [parse_document(PlainDocument("t", one), SCHEMES) for one in _documents(values, unchecked)]
    (policy,) = compile_all(gather(parsed, {}), SCHEMES).values()
    verified = verify_vector(recipes.vector("whole", "accepted", machine=machine), SCHEMES["tpm2"])
    return appraise(verified, policy, recipes.NOW)


def test_machine_that_satisfies_every_rule_is_affirmed(recipes: Any) -> None:
    appraisal = _judge(recipes, recipes.tpm(), _values(recipes, recipes.tpm()), [])
    assert (appraisal.accepted, appraisal.check_id, appraisal.ear_status) == (True, "", "affirming")
    assert {finding.rule for finding in appraisal.findings} == {rule.id for rule in SCHEMES["tpm2"].appraisal.rules}
    assert len(appraisal.measurement) == 64
    assert (appraisal.root, appraisal.host_excluded) == ("simulated", False)


def test_pcr_that_is_unchecked_is_no_part_of_the_measurement(recipes: Any) -> None:
    values = _values(recipes, recipes.tpm())
    del values["workload"]["event_log"], values["firmware"]["event_log"]
    listed = ["workload.event_log", "firmware.event_log"]
    whole = _judge(recipes, recipes.tpm(), values, listed)
    without = _judge(recipes, recipes.tpm(), values, [*listed, "firmware.pcrs.0"])
    assert whole.accepted
    assert without.accepted
    assert whole.measurement != without.measurement


def _only_firmware_pcrs(recipes: Any, *left_out: str) -> dict[str, dict[str, Any]]:
    values = _values(recipes, recipes.tpm())
    del values["workload"]["event_log"], values["firmware"]["event_log"]
    for pcr in left_out:
        del values["firmware"]["pcrs"][pcr]
    return values


_LOGS = ["workload.event_log", "firmware.event_log"]


def test_firmware_pcr_that_is_left_out_is_an_error_unless_listed(recipes: Any) -> None:
    values = _only_firmware_pcrs(recipes, "2", "4")
    with pytest.raises(ConfigError) as caught:
        _judge(recipes, recipes.tpm(), values, [*_LOGS, "firmware.pcrs.2"])
    assert caught.value.key == "firmware.pcrs.4"
    assert "'firmware.pcrs.4' in unchecked" in caught.value.want
    assert _judge(recipes, recipes.tpm(), values, [*_LOGS, "firmware.pcrs.2", "firmware.pcrs.4"]).accepted


def test_firmware_pcrs_as_a_whole_are_listed_where_the_log_is_compared(recipes: Any) -> None:
    values = _values(recipes, recipes.tpm())
    del values["firmware"]["pcrs"]
    assert _judge(recipes, recipes.tpm(), values, ["firmware.pcrs"]).accepted


def test_workload_pcrs_select_what_they_name(recipes: Any) -> None:
    values = _only_firmware_pcrs(recipes)
    del values["workload"]["pcrs"]["8"]
    assert _judge(recipes, recipes.tpm(), values, _LOGS).accepted


def test_pcr_that_no_firmware_has_cannot_be_listed(recipes: Any) -> None:
    with pytest.raises(ConfigError, match="leads nowhere"):
        _judge(recipes, recipes.tpm(), _only_firmware_pcrs(recipes), [*_LOGS, "firmware.pcrs.8"])


def test_pcr_that_one_firmware_gives_is_not_ignored_for_another(recipes: Any) -> None:
    listed = [*_LOGS, "firmware.pcrs.4"]
    *identities, policy = _documents(_only_firmware_pcrs(recipes), listed)
    (whole,) = (one for one in identities if one["kind"] == "firmware")
    other = {**whole, "name": "other", "values": _only_firmware_pcrs(recipes, "4")["firmware"]}
    policy["firmware"].append({"name": "other", "version": 1})
    with pytest.raises(ConfigError) as caught:
        compile_all(
            gather([parse_document(PlainDocument("t", one), SCHEMES) for one in [*identities, other, policy]], {}),
            SCHEMES,
        )
    assert (caught.value.key, caught.value.got) == (
        "unchecked.firmware.pcrs.4",
        "given by firmware@1, left out by others",
    )


def test_attester_without_outside_configuration_is_one_whose_pcr_is_zero(recipes: Any) -> None:
    bare = recipes.bare()
    values = {**_values(recipes, bare), "config": {"extended": {"pcr": 15, "digest": "none"}}}
    assert _judge(recipes, bare, values, []).accepted
    configured = _judge(recipes, recipes.tpm(), values, [])
    assert (configured.accepted, configured.check_id) == (False, "tpm2.config.extended")


def test_configuration_of_zeros_is_not_none(recipes: Any) -> None:
    bare = recipes.bare()
    values = {**_values(recipes, bare), "config": {"extended": {"pcr": 15, "digest": "0" * 64}}}
    assert _judge(recipes, bare, values, []).check_id == "tpm2.config.extended"


def test_list_of_files_that_lets_some_be_anything_is_worth_a_second_look(recipes: Any) -> None:
    values = _values(recipes, recipes.tpm())
    files = values["workload"]["ima"]
    values["workload"]["ima"] = {
        **files,
        "may_be_anything": [{"path": "/var/log/", "why": "logs"}],
        "max_violations": 2,
    }
    parsed = [parse_document(PlainDocument("t", one), SCHEMES) for one in _documents(values, [])]
    documents = gather(parsed, {})
    warned = [one for one in lint(documents, compile_all(documents, SCHEMES), recipes.NOW) if one.id == "lint.loose"]
    assert ["/var/log/" in one.detail for one in warned] == [True, False]
    assert "2 violations" in warned[1].detail
    assert _judge(recipes, recipes.tpm(), values, []).accepted
