"""Identities as the engine compares with them: every rule with its expected value, worked out once. Pure.

Fail closed: a field that an identity leaves out is an error unless the policy lists it in ``unchecked``; a key that is listed
is taken out of what is expected; a class of which nothing is left to compare is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from verifier.appraise.compiled import FOREVER, Candidate, PreparedRule
from verifier.appraise.documents import Identity, Parsed, identity_model, instant, validate
from verifier.core.rules import Scope
from verifier.formats.errors import ConfigError
from verifier.tee.scheme import Matched, Scheme


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A policy's ``unchecked`` as a set of paths; ``where`` is the policy's place."""

    where: str
    paths: frozenset[tuple[str, ...]]

    def covers(self, path: tuple[str, ...]) -> bool:
        """Tell whether the path or one above it is listed."""
        return any(path[:length] in self.paths for length in range(1, len(path) + 1))

    def touches(self, path: tuple[str, ...]) -> bool:
        """Tell whether the path, one above it or one below it is listed."""
        return self.covers(path) or any(listed[: len(path)] == path for listed in self.paths)


@dataclass(frozen=True, slots=True)
class _Loaded:
    parsed: Parsed
    identity: Identity
    values: Mapping[str, Any]

    @property
    def reference(self) -> str:
        return f"{self.identity.name}@{self.identity.version}"


def read_values(parsed: Parsed, scheme: Scheme[Any, Any]) -> Mapping[str, Any]:
    """Return an identity's values as its scheme's model has them, in JSON form."""
    identity = parsed.model
    if not isinstance(identity, Identity):
        raise TypeError("read_values takes an identity")
    model = identity_model(scheme, identity.kind, parsed.where)
    return validate(model, parsed.where, identity.values, "values").model_dump(mode="json")


def prepare_class(
    scheme: Scheme[Any, Any], scope: Scope, found: Sequence[Parsed], unchecked: Unchecked, *, all_of: bool
) -> tuple[Candidate, ...]:
    """Work out a class's candidates. With ``all_of`` a field counts as given when one of the identities gives it."""
    loaded = [
        _Loaded(parsed, parsed.model, read_values(parsed, scheme))
        for parsed in found
        if isinstance(parsed.model, Identity)
    ]
    fields = [name for name in scheme.appraisal.models[scope].model_fields if not unchecked.covers((scope, name))]
    space = scheme.appraisal.models[scope].key_space
    groups = [loaded] if all_of else [[one] for one in loaded]
    for group in groups:
        for name in fields:
            _require_given(unchecked, (scope, name), [(one, one.values[name]) for one in group], space.get(name, ()))
    if not all_of:
        _refuse_ignored(unchecked, scope, loaded)
    return tuple(_candidate(scheme, scope, one, fields, unchecked) for one in loaded)


def _require_given(
    unchecked: Unchecked, path: tuple[str, ...], given: Sequence[tuple[_Loaded, Any]], keys: Sequence[str] = ()
) -> None:
    """Refuse a field, or a key inside it, that no identity of the group gives and the policy does not list.

    ``keys`` are those that a map has to answer for, given or not.
    """
    if unchecked.covers(path):
        return
    present = [(one, value) for one, value in given if value is not None]
    if not present:
        names = ", ".join(one.reference for one, _value in given)
        raise ConfigError(
            unchecked.where, ".".join(path), f"nothing (in {names})", f"a value, or {'.'.join(path)!r} in unchecked"
        )
    tables = [(one, value) for one, value in present if isinstance(value, dict)]
    for key in sorted({key for _one, table in tables for key in table}):
        _require_given(unchecked, (*path, key), [(one, table[key]) for one, table in tables if key in table])
    for key in keys:
        if not any(key in table for _one, table in tables):
            _require_given(unchecked, (*path, key), [(one, None) for one, _table in tables])


def _refuse_ignored(unchecked: Unchecked, scope: Scope, loaded: Sequence[_Loaded]) -> None:
    """Refuse a field or key that ``unchecked`` excuses one candidate from and thereby ignores, unsaid, in another."""
    for path in sorted(path for path in unchecked.paths if path[0] == scope and len(path) > 1):
        give = [one.reference for one in loaded if _value_at(one.values, path[1:]) is not None]
        if give and len(give) < len(loaded):
            raise ConfigError(
                unchecked.where,
                f"unchecked.{'.'.join(path)}",
                f"given by {', '.join(give)}, left out by others",
                "identities that all give it or all leave it out: what one of them gives would not be compared",
            )


def _value_at(value: Any, path: Sequence[str]) -> Any:
    """Follow a path into a value; ``None`` where it leads nowhere."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _candidate(
    scheme: Scheme[Any, Any], scope: Scope, one: _Loaded, fields: Sequence[str], unchecked: Unchecked
) -> Candidate:
    expected: dict[str, Any] = {}
    for name in fields:
        if one.values[name] is not None:
            expected[name] = _without(one.values[name], (scope, name), unchecked)
    rules = tuple(
        PreparedRule(rule, expected[rule.field], one.reference)
        for rule in scheme.appraisal.rules
        if rule.scope == scope and rule.field in expected
    )
    for name in sorted(expected.keys() - {prepared.rule.field for prepared in rules}):
        raise ConfigError(one.parsed.where, f"values.{name}", "a value that no rule judges", f"a rule of {scheme.name}")
    if not rules:
        raise ConfigError(
            unchecked.where,
            scope,
            f"nothing to compare with {one.reference}",
            f"a value, or {scope!r} itself in unchecked",
        )
    window = one.identity.window
    return Candidate(
        matched=Matched(scope, one.identity.name, one.identity.version, expected),
        reference=one.reference,
        rules=rules,
        valid_from=instant(window.from_) if window is not None and window.from_ is not None else -FOREVER,
        valid_until=instant(window.until) if window is not None and window.until is not None else FOREVER,
    )


def _without(value: Any, path: tuple[str, ...], unchecked: Unchecked) -> Any:
    """Take the keys that ``unchecked`` lists out of a value; one of which nothing is left is an error."""
    if not isinstance(value, dict):
        return value
    kept = {
        key: _without(item, (*path, key), unchecked)
        for key, item in value.items()
        if item is not None and not unchecked.covers((*path, key))
    }
    if not kept:
        raise ConfigError(
            unchecked.where,
            ".".join(path),
            "nothing left to compare",
            f"a key left, or {'.'.join(path)!r} in unchecked",
        )
    return kept
