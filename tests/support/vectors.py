"""Vectors: evidence forged at test time with a stated outcome, and the one way of running them.

A scheme's vectors live in ``tests/vectors/<folder>/recipes.py``, which exports

- ``vectors() -> tuple[Vector, ...]`` (a platform that is no scheme: ``tuple[CaseVector, ...]``), cached; the first accepted one is
  the base;
- ``part_forms() -> Mapping[str, PartForm]``: what each part of the evidence is, for truncations and bit flips (schemes only).

Importing recipes forges nothing and signs nothing: tests are collected in every run, and evidence is needed in few.
So a test is parametrised by scheme, and its vectors are subtests.

A vector has one fault. ``run_vector`` climbs the staircase as the service does: decode, endorse, verify, appraise.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from types import ModuleType
from typing import Any, Final, Literal

from verifier.cases.form import CaseFiles, CaseForm
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.scheme import Need, Scheme, Subject, Verified
from verifier.tee.verified import Expected, UnsafeUnbound, gather, require_parts, run_checks

Outcome = Literal["accepted", "rejected", "malformed", "cannot-decide"]


@dataclass(frozen=True, slots=True)
class PartForm:
    """What a part is.

    ``fixed``: every truncation and every trailing byte is malformed. ``kept``: every truncation is malformed or refused.
    ``log``: a cut inside an event is malformed, a cut between events is refused later.
    ``signed``: byte ranges of the base vector's part in which every flipped bit must be refused.
    ``decode_id``: the id under which the part is malformed, where an inner scheme of a composite reads it.
    ``trailing``: bytes that the format allows after it (padding that docs/tee names for the scheme), which are then not tried.
    """

    form: Literal["fixed", "kept", "log"]
    signed: tuple[tuple[int, int], ...] = ()
    decode_id: str = ""
    trailing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """One piece of evidence of a scheme and what must become of it.

    ``endorsements`` come with the evidence, ``collateral`` answers ``scheme.needs`` by name. ``rule_values`` maps a rule's id to
    the expected value in JSON form; service rules left out are judged with their default, identity rules left out are not judged.
    """

    scheme: str
    parts: Mapping[str, bytes]
    name: str = "wholesome"
    outcome: Outcome = "accepted"
    endorsements: Mapping[str, bytes] = field(default_factory=dict)
    collateral: Mapping[str, bytes] = field(default_factory=dict)
    anchors: tuple[Anchor, ...] = ()
    now: int = 0
    expected: Expected = field(default_factory=UnsafeUnbound)
    rule_values: Mapping[str, Any] = field(default_factory=dict)
    check_id: str = ""
    comment: str = ""


def forging(wholesome: Callable[..., Vector]) -> Callable[..., Vector]:
    """Return how a scheme's vectors are forged: ``vector(name, outcome, check_id, **told)``, accepted unless told otherwise.

    ``told`` are fields of ``Vector`` (``values`` for its ``rule_values``; ``None``: as in the wholesome one), and beside them
    arguments of ``wholesome``, which makes the vector that has no fault.
    """

    @wraps(wholesome)
    def vector(name: str, outcome: Outcome = "accepted", check_id: str = "", **told: Any) -> Vector:
        fields = {field: told.pop(said) for said, field in _TOLD.items() if said in told}
        given = {field: value for field, value in fields.items() if value is not None}
        return replace(wholesome(**told), name=name, outcome=outcome, check_id=check_id, **given)

    return vector


# What a recipe calls the fields of a vector that it tells.
_TOLD: Final = {
    **{name: name for name in ("endorsements", "collateral", "anchors", "now", "expected", "comment")},
    "values": "rule_values",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseVector:
    """One forged case of a platform that is judged offline only (``tcg-eventlog``)."""

    name: str
    files: CaseFiles
    outcome: Outcome
    check_id: str = ""
    comment: str = ""


def folder_of(name: str) -> str:
    """Return the folder of a scheme or platform."""
    return name.replace("-", "_")


def recipes_of(name: str) -> ModuleType:
    """Import the recipes of a scheme or platform; a scheme without them is a failure, not a skip."""
    return importlib.import_module(f"tests.vectors.{folder_of(name)}.recipes")


def vectors_of(name: str) -> tuple[Vector, ...]:
    """Return the vectors of a scheme, forged when they are first asked for."""
    vectors: tuple[Vector, ...] = recipes_of(name).vectors()
    return vectors


def case_vectors_of(name: str) -> tuple[CaseVector, ...]:
    """Return the forged cases of a platform that is no scheme."""
    vectors: tuple[CaseVector, ...] = recipes_of(name).vectors()
    return vectors


def base_vector(name: str) -> Vector:
    """Return a scheme's first accepted vector: what truncations and bit flips start from."""
    return base_of(vectors_of(name))


def verify_vector(vector: Vector, scheme: Scheme[Any, Any], chains: ChainCache | None = None) -> Verified[Any, Any]:
    """Decode, endorse and verify; raises one of the three kinds of no. Each vector has a cache of its own unless told."""
    require_parts(scheme, vector.parts, vector.endorsements)
    evidence = scheme.form.decode(vector.parts)

    def ask(needs: tuple[Need, ...]) -> dict[str, bytes]:
        for need in needs:
            if need.required and need.name not in vector.collateral:
                raise CannotDecide(
                    f"{scheme.name}.endorsement.{need.name}", f"{need.kind} {need.key}: got nothing, want it"
                )
        # What a source has and nobody asked for never reaches a scheme.
        return {need.name: vector.collateral[need.name] for need in needs if need.name in vector.collateral}

    collateral = scheme.collateral.collate(evidence, gather(scheme, evidence, vector.endorsements, ask))
    subject = Subject(evidence, collateral, vector.anchors, vector.now, ChainCache() if chains is None else chains)
    return run_checks(scheme, subject, vector.expected)


def judge_vector(vector: Vector, scheme: Scheme[Any, Any], verified: Verified[Any, Any]) -> None:
    """Run the scheme's rules in order; the first that fails is ``EvidenceRejected`` under its id."""
    known = {rule.id for rule in scheme.appraisal.rules}
    unknown = vector.rule_values.keys() - known
    if unknown:
        raise AssertionError(f"{vector.name}: rule_values names {sorted(unknown)}, which are no rules of {scheme.name}")
    for rule in scheme.appraisal.rules:
        if rule.id in vector.rule_values:
            expected = vector.rule_values[rule.id]
        elif rule.scope == "service":
            expected = rule.default
        else:
            continue
        judgement = rule.judge(verified, expected)
        if not judgement.ok:
            raise EvidenceRejected(rule.id, f"{rule.field}: got {judgement.seen}, want {expected}")


def run_vector(vector: Vector, scheme: Scheme[Any, Any]) -> tuple[str, str]:
    """Return ``(outcome, check_id)``; anything but the three kinds of no propagates and fails the test."""
    try:
        judge_vector(vector, scheme, verify_vector(vector, scheme))
    except BridgeError as error:
        return error.outcome, error.check_id
    return "accepted", ""


def run_case_vector(vector: CaseVector, form: CaseForm) -> tuple[str, str]:
    """Return ``(outcome, check_id)`` of a forged case."""
    try:
        verdict = form.judge(vector.files)
    except BridgeError as error:
        return error.outcome, error.check_id
    for finding in verdict.findings:
        if not finding.ok:
            return "rejected", finding.rule
    return "accepted", ""


def base_of(vectors: tuple[Vector, ...]) -> Vector:
    """Return the first accepted vector: what truncations and bit flips start from."""
    return next(vector for vector in vectors if vector.outcome == "accepted")
