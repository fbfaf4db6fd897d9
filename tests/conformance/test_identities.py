"""``verifier identity from-evidence`` works for every scheme: what is read off a machine accepts that machine and no other."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.vectors import Vector, base_of, recipes_of, verify_vector
from verifier.adapters.case_folder import read_case
from verifier.appraise.documents import Parsed, parse_document
from verifier.appraise.engine import appraise
from verifier.appraise.policy import CompiledPolicy, compile_policy
from verifier.appraise.reference.draft import as_yaml, draft_identity, draft_policy
from verifier.appraise.reference.observe import Observation, observe
from verifier.appraise.text import read_documents
from verifier.core.errors import BridgeError, ConfigError
from verifier.tee.base import Scheme, Verified
from verifier.tee.registry import CASES, SCHEMES

NAMES = sorted(SCHEMES)
Values = Mapping[str, Mapping[str, Any]]


@cache
def _base(name: str) -> Vector:
    return base_of(recipes_of(name).VECTORS)


@cache
def _verified(name: str) -> Verified[Any, Any]:
    return verify_vector(_base(name), SCHEMES[name])


@cache
def _observed(name: str) -> Observation:
    return observe(SCHEMES[name], _verified(name))


def _with_configuration(name: str) -> dict[str, dict[str, Any]]:
    """Evidence does not say which configuration an extended register stands for: that comes from the vector."""
    scheme, values = SCHEMES[name], {scope: dict(one) for scope, one in _observed(name).values.items()}
    for rule in scheme.rules:
        stated = {r: v for vector in recipes_of(name).VECTORS[:1] for r, v in vector.rule_values.items()}
        if rule.scope == "config" and rule.field not in values["config"]:
            everything = [v.rule_values for v in recipes_of(name).VECTORS if v.outcome == "accepted"]
            tried = [stated.get(rule.id), *(one.get(rule.id) for one in everything)]
            fits = [value for value in tried if value is not None and rule.judge(_verified(name), value).ok]
            values["config"] |= {rule.field: fits[0]} if fits else {}
    return values


def _compiled(scheme: Scheme[Any, Any], values: Values, exceptions: Mapping[str, Any]) -> CompiledPolicy:
    """By way of text, as it is written and loaded."""
    identities = [
        draft_identity(
            scheme=scheme.name, kind=kind, name=f"m-{kind}", tenant="acme", version=1, values=one, origin="observed"
        )
        for kind, one in values.items()
        if one
    ]
    policy = draft_policy(scheme, name="m", tenant="acme", version=1, identities=identities)
    if exceptions:
        policy["exceptions"] = dict(exceptions)
    text = as_yaml([*identities, policy])
    parsed = [parse_document(plain, SCHEMES) for plain in read_documents("draft", text.encode(), json_form=False)]
    by_name: dict[str, Parsed] = {one.model.name: one for one in parsed}
    return compile_policy(parsed[-1], lambda wanted, _version: by_name.get(wanted), SCHEMES)


def _exceptions(name: str) -> dict[str, Any]:
    """What the base vector's machine is excepted from, by its own words."""
    rules = {rule.id: rule for rule in SCHEMES[name].rules if rule.scope == "service"}
    stated = {rules[one].field: value for one, value in _base(name).rule_values.items() if one in rules}
    return {field: value for field, value in stated.items() if field in SCHEMES[name].exceptions_model.model_fields}


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_read_off_the_base_vectors_machine(name: str) -> None:
    """Fields may stay open. A class may where nothing of it was measured, but the platform and some software may not."""
    values = _observed(name).values
    assert set(values) == set(SCHEMES[name].identity_models)
    assert values.get("platform", True)
    assert not SCHEMES[name].software_classes or any(values[scope] for scope in SCHEMES[name].software_classes)


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_satisfies_the_identities_read_off_it(name: str) -> None:
    policy = _compiled(SCHEMES[name], _with_configuration(name), _exceptions(name))
    appraisal = appraise(_verified(name), policy, _base(name).now)
    assert appraisal.accepted, [finding for finding in appraisal.findings if not finding.ok]


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _changes(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    text = str(value)
    digits = [char for char in "0123456789abcdef" if char != text[-1]]
    return [text[:-1] + digit for digit in digits] + [f"{text}9", "x"]


def _changed(values: Values, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy({scope: dict(one) for scope, one in values.items()})
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("name", NAMES)
def test_every_value_that_was_read_counts(name: str) -> None:
    """Some other value in its place is refused: by the model, when the policy is compiled, or by the machine's own evidence."""
    scheme, values, exceptions = SCHEMES[name], _with_configuration(name), _exceptions(name)
    verified, now = _verified(name), _base(name).now
    seen = 0
    for path, value in _leaves(values):
        if "mask" in path:
            continue  # says which bits of the value beside it count
        let_through = 0
        for other in _changes(value):
            try:
                policy = _compiled(scheme, _changed(values, path, other), exceptions)
            except ConfigError:
                continue  # no value at all: the model's no
            if not appraise(verified, policy, now).accepted:
                break
            let_through += 1
        else:
            assert not let_through, f"{name}: {'.'.join(map(str, path))} = {value!r}"
        seen += 1
    assert seen


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_with_another_measurement_does_not_satisfy_them(name: str) -> None:
    scheme = SCHEMES[name]
    policy = _compiled(scheme, _with_configuration(name), _exceptions(name))
    base = appraise(_verified(name), policy, _base(name).now)
    for vector in recipes_of(name).VECTORS:
        if vector.outcome == "malformed":
            continue
        try:
            other = verify_vector(vector, scheme)
        except BridgeError:
            continue
        if scheme.measurement(other, base.matched) != base.measurement:
            assert not appraise(other, policy, vector.now).accepted, vector.name


# Cases of a TPM bring quotes in forms that their scheme does not take (several, SHA-1) and keys that nobody enrolled: they are
# judged by steps of their own, and no machine stands behind the verdict.
NO_MACHINE = frozenset({"tpm2", "gcp-vtpm", "azure-snp-vtpm", "azure-tdx-vtpm"})


@pytest.mark.parametrize("name", sorted((SCHEMES.keys() & CASES.keys()) - NO_MACHINE))
def test_published_machines_satisfy_the_identities_read_off_them(name: str, evidence_cases: Path) -> None:
    scheme, compared = SCHEMES[name], 0
    for path in sorted((evidence_cases / name).glob("*/case.json")):
        files = read_case(path.parent, CASES)
        try:
            verdict = CASES[name].judge(files)
        except BridgeError:
            continue
        assert verdict.verified is not None, f"{path.parent.name}: CaseVerdict.verified is not set"
        observed = observe(scheme, verdict.verified)
        try:
            policy = _compiled(scheme, observed.values, {})
        except ConfigError as error:
            unexplained = not error.key.startswith("config")  # else: the operator has to say what was extended
            if unexplained:
                raise
            continue
        findings = appraise(verdict.verified, policy, files.now).findings
        assert not [one for one in findings if not one.ok and one.scope != "service"], path.parent.name
        compared += 1
    assert compared
