"""Appraisal policies, compiled: the policy, every identity that it pins, every rule with its expected value. Pure.

Compiled once per digest. ``ConfigError`` names the policy's place and the key for whatever is left out, contradicts itself or
does not exist; nothing is skipped silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from verifier.appraise.compiled import CompiledClass, CompiledPolicy, PreparedRule
from verifier.appraise.documents import (
    AppraisalPolicy,
    Identity,
    IdentityReference,
    Parsed,
    Schemes,
    scheme_named,
    validate,
)
from verifier.appraise.identities import Unchecked, prepare_class
from verifier.core.rules import IDENTITY_CLASSES, Scope, TrustClaim
from verifier.formats.encoding import canonical, sha256
from verifier.formats.errors import ConfigError
from verifier.tee.scheme import Scheme

# Claims without which nothing is affirmed as a whole, where the scheme has rules for them. The others may stay without a
# claim (a policy that lists no chips says nothing of the instance, and its token does not either).
_ESSENTIAL: frozenset[TrustClaim] = frozenset(("hardware", "configuration", "executables"))

# (name, version or None for the highest) -> the identity of the policy's tenant, or None.
Resolve = Callable[[str, int | None], Parsed | None]


def compile_policy(parsed: Parsed, resolve: Resolve, schemes: Schemes) -> CompiledPolicy:
    """Compile one policy. Raises ``ConfigError``."""
    policy = parsed.model
    if not isinstance(policy, AppraisalPolicy):
        raise TypeError("compile_policy takes a policy")
    scheme = scheme_named(policy.scheme, parsed.where, schemes)
    unchecked = _read_unchecked(policy, scheme, parsed.where)
    named = _named_classes(policy, scheme, unchecked)
    found = {scope: _resolved(policy, scope, named[scope], resolve, parsed.where) for scope in named}
    classes = tuple(
        CompiledClass(
            scope,
            scope == "workload",
            prepare_class(scheme, scope, found[scope], unchecked, all_of=scope == "workload"),
        )
        for scope in named
    )
    _check_paths(unchecked, scheme, classes, found)
    exceptions = _read_exceptions(policy, scheme, parsed.where)
    pinned = [one for scope in found for one in found[scope]]
    unmeasured = frozenset(
        scope for scope in scheme.appraisal.software if not _has_claim(classes, scope, "executables")
    )
    return CompiledPolicy(
        tenant=policy.tenant,
        name=policy.name,
        version=policy.version,
        scheme=scheme,
        digest=_digest(parsed, pinned),
        service=_service_rules(scheme, exceptions),
        classes=classes,
        unchecked=frozenset(policy.unchecked),
        unchecked_classes=frozenset(scope for scope in scheme.appraisal.models if scope not in named) | unmeasured,
        unclaimed=_unclaimed(scheme, named, unmeasured),
        essential=_ESSENTIAL & {rule.trust_claim for rule in scheme.appraisal.rules},
        exceptions=exceptions,
        allows_debug=any(exceptions.get(name) not in (None, False) for name in scheme.appraisal.debug_exceptions),
        newest=_newest(named, found),
    )


def _named_classes(
    policy: AppraisalPolicy, scheme: Scheme[Any, Any], unchecked: Unchecked
) -> dict[Scope, tuple[IdentityReference, ...]]:
    """Return the classes that the policy names; each other class of the scheme must be listed, ``config`` never."""
    named: dict[Scope, tuple[IdentityReference, ...]] = {}
    for scope in IDENTITY_CLASSES:
        references: tuple[IdentityReference, ...] | None = getattr(policy, scope)
        listed = (scope,) in unchecked.paths
        if references is None:
            if scope in scheme.appraisal.models and not listed:
                want = f"identities, or {scope!r} in unchecked"
                if scope == "config":
                    want = "identities: an attester that takes no outside configuration has an identity that says so"
                raise ConfigError(unchecked.where, scope, "nothing", want)
            continue
        if scope not in scheme.appraisal.models:
            raise ConfigError(unchecked.where, scope, "identities", f"a class that {scheme.name} has")
        if listed:
            raise ConfigError(unchecked.where, f"unchecked.{scope}", "named and unchecked", "one of the two")
        if len({reference.name for reference in references}) < len(references) and scope == "workload":
            raise ConfigError(unchecked.where, scope, "one identity twice", "each once: all of them must hold")
        named[scope] = references
    return named


def _read_unchecked(policy: AppraisalPolicy, scheme: Scheme[Any, Any], where: str) -> Unchecked:
    paths = [tuple(path.split(".")) for path in policy.unchecked]
    unchecked = Unchecked(where, frozenset(paths))
    for text, path in zip(policy.unchecked, paths, strict=True):
        key = f"unchecked.{text}"
        scope = next((scope for scope in scheme.appraisal.models if scope == path[0]), None)
        if paths.count(path) > 1:
            raise ConfigError(where, key, "listed twice", "each once")
        if scope is None:
            raise ConfigError(where, key, path[0], f"one of {', '.join(scheme.appraisal.models)}")
        if scope == "config":
            raise ConfigError(where, key, "config", "another class: the attester's configuration cannot be unchecked")
        if any(path[:length] in unchecked.paths for length in range(1, len(path))):
            raise ConfigError(where, key, "listed below what is listed", "the shorter path alone")
        fields = scheme.appraisal.models[scope].model_fields
        if len(path) > 1 and path[1] not in fields:
            raise ConfigError(where, key, path[1], f"one of {', '.join(fields)}")
    for rule in scheme.appraisal.rules:
        if rule.mandatory and rule.scope != "service" and unchecked.touches((rule.scope, rule.field)):
            raise ConfigError(where, f"unchecked.{rule.scope}.{rule.field}", rule.id, "a rule that is not mandatory")
    return unchecked


def _check_paths(
    unchecked: Unchecked,
    scheme: Scheme[Any, Any],
    classes: tuple[CompiledClass, ...],
    found: Mapping[Scope, tuple[Parsed, ...]],
) -> None:
    """Refuse a path into a field that has no such keys: it would excuse nothing, and the operator would believe that it does."""
    scopes = {one.scope for one in classes}
    for path in sorted(path for path in unchecked.paths if len(path) > 2 and path[0] in scopes):  # noqa: PLR2004
        identities = [one.model for scope in found if scope == path[0] for one in found[scope]]
        values = [one.values.get(path[1]) for one in identities if isinstance(one, Identity)]
        for key in path[2:-1]:
            values = [value.get(key) for value in values if isinstance(value, dict)]
        space = next(model.key_space for scope, model in scheme.appraisal.models.items() if scope == path[0])
        if not any(isinstance(value, dict) for value in values) or path[2] not in space.get(path[1], (path[2],)):
            raise ConfigError(
                unchecked.where, f"unchecked.{'.'.join(path)}", "a path that leads nowhere", "a key of a table"
            )


def _resolved(
    policy: AppraisalPolicy, scope: Scope, references: tuple[IdentityReference, ...], resolve: Resolve, where: str
) -> tuple[Parsed, ...]:
    found: list[Parsed] = []
    for reference in references:
        key = f"{scope}.{reference.name}"
        parsed = resolve(reference.name, None if reference.version == "newest" else reference.version)
        if parsed is None or not isinstance(parsed.model, Identity):
            raise ConfigError(where, key, f"version {reference.version}", f"an identity of tenant {policy.tenant}")
        identity = parsed.model
        if identity.tenant != policy.tenant or identity.scheme != policy.scheme or identity.kind != scope:
            got = f"{identity.tenant}, {identity.scheme}, {identity.kind}"
            raise ConfigError(where, key, got, f"an identity of {policy.tenant}, {policy.scheme}, {scope}")
        if any(parsed is other or parsed.model == other.model for other in found):
            raise ConfigError(where, key, "one identity twice", "each once")
        found.append(parsed)
    return tuple(found)


def _newest(
    named: Mapping[Scope, tuple[IdentityReference, ...]], found: Mapping[Scope, tuple[Parsed, ...]]
) -> tuple[str, ...]:
    return tuple(
        f"{parsed.model.name}@{parsed.model.version}"
        for scope in named
        for reference, parsed in zip(named[scope], found[scope], strict=True)
        if reference.version == "newest"
    )


def _read_exceptions(policy: AppraisalPolicy, scheme: Scheme[Any, Any], where: str) -> Mapping[str, Any]:
    dumped = validate(scheme.appraisal.exceptions, where, policy.exceptions, "exceptions").model_dump(mode="json")
    given = {name: value for name, value in dumped.items() if value is not None}
    for name in sorted(given):
        rules = [rule for rule in scheme.appraisal.rules if rule.scope == "service" and rule.field == name]
        if not rules:
            raise ConfigError(where, f"exceptions.{name}", name, f"an exception that a rule of {scheme.name} knows")
        for rule in rules:
            if rule.mandatory:
                raise ConfigError(where, f"exceptions.{name}", rule.id, "a rule that is not mandatory")
    return given


def _service_rules(scheme: Scheme[Any, Any], exceptions: Mapping[str, Any]) -> tuple[PreparedRule, ...]:
    return tuple(
        PreparedRule(
            rule,
            exceptions.get(rule.field, rule.default),
            excepted=rule.field in exceptions and exceptions[rule.field] != rule.default,
            default=rule.default,
        )
        for rule in scheme.appraisal.rules
        if rule.scope == "service"
    )


def _has_claim(classes: tuple[CompiledClass, ...], scope: Scope, claim: TrustClaim) -> bool:
    """Tell whether, whichever candidate of the class is picked, one of its rules compares something for the trust claim."""
    for one in classes:
        if one.scope == scope:
            bears = [
                any(rule.rule.trust_claim == claim and rule.rule.measures(rule.expected) for rule in candidate.rules)
                for candidate in one.candidates
            ]
            return any(bears) if one.all_of else all(bears)
    return False


def _unclaimed(scheme: Scheme[Any, Any], named: Iterable[Scope], unmeasured: frozenset[Scope]) -> frozenset[TrustClaim]:
    """Return the claims that a class bears on which is not looked at, and "executables" where software is not measured."""
    left = scheme.appraisal.models.keys() - set(named)
    claims = {rule.trust_claim for rule in scheme.appraisal.rules if rule.scope in left}
    return frozenset(claims | {"executables"} if unmeasured else claims)


def _digest(policy: Parsed, identities: list[Parsed]) -> bytes:
    forms = [json.loads(one.body) for one in (policy, *identities)]
    for form in forms:
        form.pop("signature", None)
    return sha256(canonical({"policy": forms[0], "identities": forms[1:]}))
