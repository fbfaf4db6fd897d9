"""How case forms read what stands in a case: keys of its policy, files by name, the rules that the policy sets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from verifier.cases.form import CaseError, CaseFiles, IncompleteCase
from verifier.core.rules import Finding
from verifier.formats.errors import MalformedEvidence
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Scheme, Verified


def require_known(policy: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a policy key that the platform does not have; ``CaseError``."""
    unknown = sorted(policy.keys() - frozenset(known))
    if unknown:
        raise CaseError(f"policy: got unknown key {unknown[0]!r}, want {sorted(known)}")


def switch(policy: Mapping[str, Any], name: str) -> bool:
    """Return a policy key of true or false; false where it is not there."""
    value = policy.get(name, False)
    if not isinstance(value, bool):
        raise CaseError(f"policy.{name}: got {value!r}, want true or false")
    return value


def hex_value(policy: Mapping[str, Any], name: str, size: int | None = None) -> bytes | None:
    """Return a policy key of hex digits, ``size`` bytes where one is given; ``None`` where it is not there."""
    value = policy.get(name)
    if value is None:
        return None
    try:
        data = bytes.fromhex(value) if isinstance(value, str) and "".join(value.split()) == value else None
    except ValueError:
        data = None
    if data is None or size not in (None, len(data)):
        raise CaseError(f"policy.{name}: got {value!r}, want {'hex' if size is None else f'{2 * size} hex digits'}")
    return data


def file_of(files: CaseFiles, name: str) -> bytes | None:
    """Find a file by its name, in the evidence or beside it."""
    return files.evidence.get(name, files.collateral.get(name))


def by_stem(files: CaseFiles, stem: str) -> bytes | None:
    """Find a file by what stands before its first dot: suffixes say how a source encoded it, and sources differ."""
    named = {name.partition(".")[0]: data for name, data in {**files.collateral, **files.evidence}.items()}
    return named.get(stem)


Claims: TypeAlias = Callable[[CaseFiles], Mapping[str, Any]]


def claims_of(parts: Sequence[Claims], files: CaseFiles) -> dict[str, Any]:
    """Return what all parts of a case claim."""
    return {name: value for part in parts for name, value in part(files).items()}


def readable_claims_of(parts: Sequence[Claims], files: CaseFiles) -> dict[str, Any]:
    """Return what those parts of a case claim that can be read, beside a file that cannot."""
    said: dict[str, Any] = {}
    for part in parts:
        with contextlib.suppress(MalformedEvidence, IncompleteCase):
            said |= part(files)
    return said


def findings_of(
    scheme: Scheme[Any, Any], verified: Verified[Any, Any], expected: Mapping[str, Any]
) -> tuple[Finding, ...]:
    """Judge the rules that a case's policy sets, by their ids, in the order of ``expected``."""
    rules = {rule.id: rule for rule in scheme.appraisal.rules}
    findings = []
    for rule_id, value in expected.items():
        rule = rules[rule_id]
        judgement = rule.judge(verified, value)
        findings.append(rule.finding(judgement, value, "case", remedy=remedy_of(rule_id)))
    return tuple(findings)
