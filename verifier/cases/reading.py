"""What case forms share: how keys of a policy and files are read, claims told in parts, checks run, rules of the policy judged."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

from verifier.cases.form import CaseError, CaseFiles, CaseVerdict, IncompleteCase
from verifier.core.rules import Finding
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Scheme, Subject, Verified
from verifier.tee.tcg.banks import Banks
from verifier.tee.verified import UnsafeUnbound, run_checks


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


def required(found: bytes | None, name: str, check_id: str, wanted: str = "it") -> bytes:
    """Return a file that the platform cannot do without; ``IncompleteCase`` where the case does not have it."""
    if found is None:
        raise IncompleteCase(check_id, f"evidence: got no {name}, want {wanted}")
    return found


def expected_file(files: CaseFiles, name: str) -> bytes | None:
    """Find a file that says what a log has to give: beside the evidence, else in it."""
    return files.collateral.get(name, files.evidence.get(name))


def register_claims(banks: Banks) -> dict[str, Any]:
    """Return the registers that a log is held to."""
    return {"registers": {bank: {str(i): v.hex() for i, v in values.items()} for bank, values in banks.items()}}


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


def verified_by(
    scheme: Scheme[Any, Any], files: CaseFiles, evidence: Any, collateral: Any, user_data: bytes | None = None
) -> Verified[Any, Any]:
    """Run a scheme's checks over a case's evidence, at its time, under the pinned anchors."""
    subject = Subject(evidence, collateral, scheme.verification.anchors, files.now, ChainCache())
    return run_checks(scheme, subject, UnsafeUnbound(user_data))


def verdict_of(verified: Verified[Any, Any], expected: Mapping[str, Any] | None = None) -> CaseVerdict:
    """Return the verdict on what its scheme verified. ``expected``: what the case's policy wants, as for ``findings_of``."""
    findings = findings_of(verified.scheme, verified, expected or {})
    return CaseVerdict(findings=findings, root=verified.root, verified=verified)


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
