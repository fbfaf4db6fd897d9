"""Identities and policies read off the base vectors' machines, for every scheme alike."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from tests.support.vectors import base_vector, vectors_of, verify_vector
from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.documents import Parsed, parse_document
from verifier.appraise.policy import compile_policy
from verifier.appraise.text import read_documents
from verifier.reference.draft import as_yaml, draft_identity, draft_policy
from verifier.reference.observe import Observation, observe
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Scheme, Verified

Values = Mapping[str, Mapping[str, Any]]


@cache
def verified_base(name: str) -> Verified[Any, Any]:
    return verify_vector(base_vector(name), SCHEMES[name])


@cache
def observed(name: str) -> Observation:
    return observe(SCHEMES[name], verified_base(name))


def with_configuration(name: str) -> dict[str, dict[str, Any]]:
    """Evidence does not say which configuration an extended register stands for: that comes from the vector."""
    scheme, values = SCHEMES[name], {scope: dict(one) for scope, one in observed(name).values.items()}
    for rule in scheme.appraisal.rules:
        stated = {r: v for vector in vectors_of(name)[:1] for r, v in vector.rule_values.items()}
        if rule.scope == "config" and rule.field not in values["config"]:
            everything = [v.rule_values for v in vectors_of(name) if v.outcome == "accepted"]
            tried = [stated.get(rule.id), *(one.get(rule.id) for one in everything)]
            fits = [value for value in tried if value is not None and rule.judge(verified_base(name), value).ok]
            values["config"] |= {rule.field: fits[0]} if fits else {}
    return values


def drafted(
    scheme: Scheme[Any, Any], values: Values, exceptions: Mapping[str, Any], *, tenant: str = "acme", name: str = "m"
) -> list[dict[str, Any]]:
    """Return identities and, last, the policy that pins them, as plain documents."""
    identities = [
        draft_identity(
            scheme=scheme.name,
            kind=kind,
            name=f"{name}-{kind}",
            tenant=tenant,
            version=1,
            values=one,
            origin="observed",
        )
        for kind, one in values.items()
        if one
    ]
    policy = draft_policy(scheme, name=name, tenant=tenant, version=1, identities=identities)
    if exceptions:
        policy["exceptions"] = dict(exceptions)
    return [*identities, policy]


def compiled(scheme: Scheme[Any, Any], values: Values, exceptions: Mapping[str, Any]) -> CompiledPolicy:
    """By way of text, as it is written and loaded."""
    text = as_yaml(drafted(scheme, values, exceptions))
    parsed = [parse_document(plain, SCHEMES) for plain in read_documents("draft", text.encode(), json_form=False)]
    by_name: dict[str, Parsed] = {one.model.name: one for one in parsed}
    return compile_policy(parsed[-1], lambda wanted, _version: by_name.get(wanted), SCHEMES)


def excepted(name: str) -> dict[str, Any]:
    """What the base vector's machine is excepted from, by its own words."""
    rules = {rule.id: rule for rule in SCHEMES[name].appraisal.rules if rule.scope == "service"}
    stated = {rules[one].field: value for one, value in base_vector(name).rule_values.items() if one in rules}
    return {field: value for field, value in stated.items() if field in SCHEMES[name].appraisal.exceptions.model_fields}
