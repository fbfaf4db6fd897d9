"""From a machine that is already trusted to the values of its identities. Pure.

What makes a rule hold for this evidence? Mostly what the rule saw: an exact value, or a floor. So each identity field is asked of its
rules: judged against a sample that the scheme's model lets through, what was seen is validated by the model and judged again, and it
stays if every rule of the field then holds. Where that is not enough (a list of one, a table by product) the scheme's own
``observe`` says it; its values go through the same validation and the same judges. A field for which nothing holds is left out and
named: it was not in this evidence, or evidence cannot give it (the digest behind an extended register).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final

from pydantic import ValidationError

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.scheme import Scheme
from verifier.tee.values import Values

_MAX_SAMPLES: Final = 64
_MAX_MEMBER: Final = 16
_MAX_DEPTH: Final = 6
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{8,15}Z", re.ASCII)
_SIZES: Final = (96, 64, 128, 32, 40, 16, 24, 12, 8, 2)
# Enough texts for some of them to be of any form that a model asks for.
_TEXTS: Final = (
    *("1" * size for size in _SIZES),
    *("0x0", "0x" + "0" * 16, "0.0", "0.0.0", "i-00000000", "none", "a"),
    *("2020-01-01T00:00:00Z", "2020-01-01"),
)
_KEYS: Final = (*(str(index) for index in range(32)), *_TEXTS)
# Where no sample is of the model's form: no value to compare with, but most judges say what they see all the same.
_UNFIT: Final[tuple[Any, ...]] = ([], "", {}, 0)
# What a judge may raise on a sample that it was never meant to see.
_FAULTS: Final = (TypeError, ValueError, LookupError, AttributeError)


@dataclass(frozen=True, slots=True)
class Observation:
    """Values by class, in JSON form, and the fields of each class for which this evidence has none."""

    values: Mapping[Scope, Mapping[str, Any]]
    left_out: Mapping[Scope, tuple[str, ...]]


def observe(scheme: Scheme[Any, Any], verified: Any, config_digests: tuple[str, ...] = ()) -> Observation:
    """Read every identity class off evidence. ``verified`` is ``Verified``, or what stands in for it unverified.

    ``config_digests``: digests (hex) of what the attester is configured with. Of an extended register, evidence gives the value
    and not the digest; one of these stands in the identity where it explains the register.
    """
    stated = scheme.appraisal.observe(verified)
    values: dict[Scope, Mapping[str, Any]] = {}
    left_out: dict[Scope, tuple[str, ...]] = {}
    for scope, model in scheme.appraisal.models.items():
        own = stated.get(scope, {})
        found: dict[str, Any] = {}
        for name in model.model_fields:
            rules = tuple(rule for rule in scheme.appraisal.rules if rule.scope == scope and rule.field == name)
            tried: Iterable[Any] = (own[name],) if name in own else _candidates(model, name, rules, verified)
            if scope == "config" and name not in own:
                tried = chain(tried, _configurations(model, name, config_digests))
            kept = _first_that_holds(model, name, rules, verified, tried)
            if kept is not None:
                found[name] = kept
        values[scope] = _together(model, found)
        left_out[scope] = tuple(name for name in model.model_fields if name not in values[scope])
    return Observation(values, left_out)


def _first_that_holds(
    model: type[Values], name: str, rules: tuple[Rule[Any], ...], verified: Any, tried: Iterable[Any]
) -> Any | None:
    for value in tried:
        valid = _validated(model, name, value)
        if valid is not None and rules and all(_holds(rule, verified, valid) for rule in rules):
            return valid
    return None


def _candidates(model: type[Values], name: str, rules: tuple[Rule[Any], ...], verified: Any) -> Iterator[Any]:
    """What the rules saw, as it is and as a list of one; at the end the empty list, which a list of the denied may be."""
    samples = [valid for sample in _samples_of(model, name) if (valid := _validated(model, name, sample)) is not None]
    for sample in samples or _UNFIT:
        for rule in rules:
            seen = _judged(rule, verified, sample).seen
            if seen is not None:
                yield from _forms_of(seen)
    yield []


def _forms_of(seen: Any) -> Iterator[Any]:
    """Ways in which a field may say what a rule saw; the smallest that holds is taken, so that each of its values counts."""
    if isinstance(seen, list | tuple):
        yield from ([one] for one in seen)
    yield seen
    yield [seen]
    if isinstance(seen, Mapping):
        yield {key: value for key, value in seen.items() if value is not None}
        yield from (value for value in seen.values() if value is not None)
    if isinstance(seen, str) and _MOMENT.fullmatch(seen):
        yield seen[:10]  # the day


def _configurations(model: type[Values], name: str, digests: tuple[str, ...]) -> Iterator[Any]:
    """What only the operator can say and a rule can confirm: that there is no configuration, or which one it is."""
    said = ("none", *digests)
    for sample in _samples_of(model, name, (*digests, *_TEXTS)):
        if isinstance(sample, Mapping) and any(value in said for value in sample.values()):
            yield sample


def _judged(rule: Rule[Any], verified: Any, expected: Any) -> Judgement:
    try:
        return rule.judge(verified, expected)
    except _FAULTS:
        return Judgement(ok=False, seen=None)


def _holds(rule: Rule[Any], verified: Any, expected: Any) -> bool:
    return _judged(rule, verified, expected).ok


def _validated(model: type[Values], name: str, value: Any) -> Any | None:
    """Return the value as the model has it, in JSON form and without what was not said; ``None`` where it is none."""
    if value is None:
        return None
    try:
        text = json.dumps({name: value})
        valid = model.model_validate_json(text).model_dump(mode="json", exclude_none=True)
    except (ValidationError, TypeError, ValueError):
        return None
    return valid.get(name)


def _together(model: type[Values], found: dict[str, Any]) -> Mapping[str, Any]:
    """Take fields until the model refuses the combination (a chip list beside a key that names no chip): those stay out."""
    kept: dict[str, Any] = {}
    for name, value in found.items():
        try:
            model.model_validate_json(json.dumps({**kept, name: value}))
        except ValidationError:
            continue
        kept[name] = value
    return kept


# --- samples ----------------------------------------------------------------------------------------------------------


def _samples_of(model: type[Values], name: str, texts: tuple[str, ...] = _TEXTS) -> Iterator[Any]:
    schema = model.model_json_schema(by_alias=True)
    return islice(_Sampler(schema.get("$defs", {}), texts).samples(schema["properties"][name], 0), _MAX_SAMPLES)


@dataclass(frozen=True, slots=True)
class _Sampler:
    """Makes values of a JSON Schema's form; the model itself says which of them it lets through."""

    defs: Mapping[str, Any]
    texts: tuple[str, ...]

    def samples(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        if depth > _MAX_DEPTH:
            return
        if "default" in schema and schema["default"] is not None:
            yield schema["default"]
        if "$ref" in schema:
            yield from self.samples(self.defs.get(str(schema["$ref"]).rpartition("/")[2], {}), depth + 1)
        elif "const" in schema:
            yield schema["const"]
        elif "enum" in schema:
            yield from schema["enum"]
        elif "anyOf" in schema or "oneOf" in schema:
            forms = schema.get("anyOf", schema.get("oneOf"))
            yield from chain.from_iterable(self.samples(one, depth + 1) for one in forms)
        else:
            yield from self._typed(schema, depth)

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        kind = schema.get("type")
        if kind == "boolean":
            yield from (True, False)
        elif kind == "integer":
            yield schema.get("minimum", 0)
        elif kind == "string":
            pattern = re.compile(str(schema.get("pattern", "")))
            yield from (text for text in self.texts if pattern.search(text))
        elif kind == "array":
            if not schema.get("minItems"):
                yield []
            for item in islice(self.samples(schema.get("items", {}), depth + 1), _MAX_SAMPLES):
                yield [item]
        elif kind == "object" and "properties" in schema:
            yield from self._records(schema, depth)
        elif kind == "object":
            yield from self._maps(schema, depth)

    def _records(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        """A record with all its members, with its required ones alone, and with each member's other samples."""
        members = {name: self._some(one, depth) for name, one in schema["properties"].items()}
        whole = {name: values[0] for name, values in members.items() if values}
        least = {name: whole[name] for name in schema.get("required", ()) if name in whole}
        yield whole
        yield least
        for name, values in members.items():
            for value in values[1:]:
                yield {**whole, name: value}
                yield {**least, name: value}

    def _some(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        return [value for value in islice(self.samples(schema, depth + 1), _MAX_MEMBER) if value is not None]

    def _maps(self, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        """A map with every key that its keys may be, and with each alone."""
        for pattern, one in schema.get("patternProperties", {}).items():
            form = re.compile(pattern)
            for value in self.samples(one, depth + 1):
                yield {key: value for key in _KEYS if form.search(key)}
        if isinstance(schema.get("additionalProperties"), Mapping):
            names = schema.get("propertyNames", {}).get("enum", ("a",))
            for value in self.samples(schema["additionalProperties"], depth + 1):
                yield {str(key): value for key in names}
                yield from ({str(key): value} for key in names)
