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
from verifier.appraise.result import Appraisal
from verifier.appraise.text import PlainDocument
from verifier.tee.registry import SCHEMES

CLASSES = ("platform", "firmware", "workload", "config")


@pytest.fixture(scope="module")
def recipes() -> Any:
    return importlib.import_module("tests.vectors.tpm2.recipes")


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
    for rule in SCHEMES["tpm2"].rules:
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
    assert {finding.rule for finding in appraisal.findings} == {rule.id for rule in SCHEMES["tpm2"].rules}
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


def test_attester_without_outside_configuration_is_one_whose_pcr_is_zero(recipes: Any) -> None:
    bare = importlib.import_module("attester.simulated.tpm2").make_tpm("ecc")
    values = {**_values(recipes, bare), "config": {"extended": {"pcr": 15, "digest": "none"}}}
    assert _judge(recipes, bare, values, []).accepted
    configured = _judge(recipes, recipes.tpm(), values, [])
    assert (configured.accepted, configured.check_id) == (False, "tpm2.config.extended")


def test_configuration_of_zeros_is_not_none(recipes: Any) -> None:
    bare = importlib.import_module("attester.simulated.tpm2").make_tpm("ecc")
    values = {**_values(recipes, bare), "config": {"extended": {"pcr": 15, "digest": "0" * 64}}}
    assert _judge(recipes, bare, values, []).check_id == "tpm2.config.extended"
