"""Every scheme of the registry keeps the promises of docs/architecture.md, "Adding a scheme"."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.schemes import altered
from tests.support.sources import undocumented
from tests.support.vectors import base_vector, folder_of, recipes_of, run_vector, vectors_of, verify_vector
from verifier.cases.ids import CaseId
from verifier.core.catalogue import texts_in
from verifier.core.rules import Rule
from verifier.formats.errors import BridgeError, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Check, Scheme
from verifier.tee.tpm2.ids import EnrolmentId

NAMES = sorted(SCHEMES)
# Enrolment and cases have ids that no envelope can fail with; their tests stand with them.
_ELSEWHERE = {*EnrolmentId, *CaseId}


def _read_ids(name: str) -> set[str]:
    """Return the ids of what cannot be read or is missing: each part, and whatever else the scheme's own file has."""
    scheme = SCHEMES[name]
    recipes = recipes_of(name)
    forms = recipes.part_forms()
    ids = {
        (forms[part].decode_id if part in forms else "") or f"{name}.decode.{part}"
        for part in scheme.form.required | scheme.form.optional
    }
    return ids | (set(texts_in(f"verifier.tee.{folder_of(name)}")) - _ELSEWHERE)


def _ids(scheme: Scheme[Any, Any]) -> list[str]:
    """Return the ids of checks and rules."""
    return [c.id for c in scheme.verification.checks] + [r.id for r in scheme.appraisal.rules]


@pytest.mark.parametrize("name", NAMES)
def test_vectors_end_as_they_say(name: str, subtests: pytest.Subtests) -> None:
    for vector in vectors_of(name):
        with subtests.test(vector.name):
            assert run_vector(vector, SCHEMES[name]) == (vector.outcome, vector.check_id)


@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_named_once_and_one_is_accepted(name: str) -> None:
    names = [v.name for v in vectors_of(name)]
    assert len(set(names)) == len(names)
    assert {v.scheme for v in vectors_of(name)} == {name}
    base_vector(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_id_has_a_vector_that_fails_with_exactly_that_id(name: str) -> None:
    want = {*_ids(SCHEMES[name]), *_read_ids(name)}
    assert not want - {v.check_id for v in vectors_of(name)}


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_unique_and_carry_the_schemes_name(name: str) -> None:
    scheme = SCHEMES[name]
    ids = _ids(scheme)
    assert len(set(ids)) == len(ids)
    own = (name, *scheme.verification.anchors_of)  # a composite keeps the ids of the schemes whose parts it holds
    assert all(i.startswith(tuple(f"{one}." for one in own)) for i in ids)


@pytest.mark.parametrize("name", NAMES)
def test_every_id_has_its_line_in_the_docs(name: str) -> None:
    assert not undocumented(name, {*_ids(SCHEMES[name]), *_read_ids(name)})


def _without_check(scheme: Scheme[Any, Any], check: Check[Any, Any]) -> None:
    lamed = altered(scheme, checks=tuple(c for c in scheme.verification.checks if c.id != check.id))
    own = [v for v in vectors_of(scheme.name) if v.check_id == check.id]
    assert own
    outcomes = {run_vector(v, lamed) for v in own}
    if check.redundant_with:
        assert check.why
        assert check.redundant_with in _ids(scheme)
        assert {i for _, i in outcomes} == {check.redundant_with}
    else:
        assert ("accepted", "") in outcomes


@pytest.mark.parametrize("name", NAMES)
def test_leaving_a_check_out_is_noticed(name: str, subtests: pytest.Subtests) -> None:
    """Without the check some vector of its is accepted, or another check catches it: then the check says which and why."""
    scheme = SCHEMES[name]
    for check in scheme.verification.checks:
        with subtests.test(check.id):
            _without_check(scheme, check)


def _without_rule(scheme: Scheme[Any, Any], rule: Rule[Any]) -> None:
    own = [v for v in vectors_of(scheme.name) if v.check_id == rule.id]
    lamed = altered(scheme, rules=tuple(r for r in scheme.appraisal.rules if r.id != rule.id))
    for v in own:
        kept = dataclasses.replace(v, rule_values={k: e for k, e in v.rule_values.items() if k != rule.id})
        assert run_vector(kept, lamed) != (v.outcome, v.check_id)
    assert own


@pytest.mark.parametrize("name", NAMES)
def test_leaving_a_rule_out_is_noticed(name: str, subtests: pytest.Subtests) -> None:
    scheme = SCHEMES[name]
    for rule in scheme.appraisal.rules:
        with subtests.test(rule.id):
            _without_rule(scheme, rule)


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_can_hold(name: str) -> None:
    """Some accepted vector judges the rule: one that always says no is as useless as one that always says yes."""
    accepted = [v for v in vectors_of(name) if v.outcome == "accepted"]
    assert accepted
    judged = {rule_id for v in accepted for rule_id in v.rule_values}
    assert not [r.id for r in SCHEMES[name].appraisal.rules if r.id not in judged and r.scope != "service"]


@pytest.mark.parametrize("name", NAMES)
def test_expected_values_are_what_the_identity_models_let_through(name: str) -> None:
    scheme = SCHEMES[name]
    rules = {r.id: r for r in scheme.appraisal.rules}
    for vector in vectors_of(name):
        for rule_id, value in vector.rule_values.items():
            rule = rules[rule_id]
            model = scheme.appraisal.exceptions if rule.scope == "service" else scheme.appraisal.models[rule.scope]
            dumped = model.model_validate({rule.field: value}, strict=False).model_dump(mode="json", exclude_unset=True)
            assert dumped[rule.field] == value, f"{vector.name}: {rule_id}"


@pytest.mark.parametrize("name", NAMES)
def test_every_model_field_has_a_rule_and_every_rule_a_field(name: str) -> None:
    scheme = SCHEMES[name]
    for scope, model in scheme.appraisal.models.items():
        assert {r.field for r in scheme.appraisal.rules if r.scope == scope} == set(model.model_fields), scope
    assert {r.scope for r in scheme.appraisal.rules} - {"service"} <= set(scheme.appraisal.models)
    assert set(scheme.appraisal.exceptions.model_fields) <= {
        r.field for r in scheme.appraisal.rules if r.scope == "service"
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_layout_field_sits_in_one_bin(name: str) -> None:
    scheme = SCHEMES[name]
    assert len(set(scheme.appraisal.fields)) == len(scheme.appraisal.fields)
    assert set(scheme.appraisal.bins) == set(scheme.appraisal.fields)
    judged = {f for rule in scheme.appraisal.rules for f in rule.layout_fields}
    assert judged == {f for f, where in scheme.appraisal.bins.items() if where == "rules"}


@pytest.mark.parametrize("name", NAMES)
def test_what_decodes_encodes_to_the_same_bytes(name: str) -> None:
    scheme = SCHEMES[name]
    seen = 0
    known = scheme.form.required | scheme.form.optional
    for vector in vectors_of(name):
        if vector.parts.keys() - known:
            continue  # refused before it is decoded
        try:
            evidence = scheme.form.decode(vector.parts)
        except MalformedEvidence:
            continue
        assert scheme.form.encode(evidence) == dict(vector.parts), vector.name
        seen += 1
    assert seen


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_and_trailing_byte_is_refused(name: str) -> None:
    scheme = SCHEMES[name]
    base = base_vector(name)
    forms = recipes_of(name).part_forms()
    assert set(forms) >= set(base.parts)
    for part, data in base.parts.items():
        form = forms[part].form
        changed = [data[:cut] for cut in range(len(data))]
        changed += [data + bytes((byte,)) for byte in (0, 1, 0xFF) if byte not in forms[part].trailing]
        for bad in changed:
            vector = dataclasses.replace(base, parts={**base.parts, part: bad})
            outcome, check_id = run_vector(vector, scheme)
            if form == "fixed":
                want = forms[part].decode_id or f"{name}.decode.{part}"
                assert (outcome, check_id) == ("malformed", want), f"{part}: {len(bad)} bytes"
            else:
                assert outcome in {"malformed", "rejected"}, f"{part}: {len(bad)} bytes"


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_of_the_signed_range_counts(name: str) -> None:
    scheme = SCHEMES[name]
    base = base_vector(name)
    flipped = 0
    chains = ChainCache()
    verify_vector(base, scheme, chains)
    for part, form in recipes_of(name).part_forms().items():
        for start, end in form.signed:
            for position in range(start, end):
                for bit in range(8):
                    data = bytearray(base.parts[part])
                    data[position] ^= 1 << bit
                    vector = dataclasses.replace(base, parts={**base.parts, part: bytes(data)}, rule_values={})
                    with pytest.raises(BridgeError):
                        verify_vector(vector, scheme, chains)
                    flipped += 1
    assert flipped
