"""Offline judgement: a case, or the parts of one scheme's evidence. Pure; nothing judged here is bound to a challenge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.engine import appraise
from verifier.cases.form import CaseFiles, CaseForm, IncompleteCase
from verifier.core.rules import Finding
from verifier.formats.errors import BridgeError, CannotDecide, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Need, Scheme, Subject, Verified
from verifier.tee.verified import UnsafeUnbound, check_user_data, gather, require_parts, run_checks

Outcome = Literal["genuine", "accepted", "rejected", "malformed", "cannot-decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineVerdict:
    """What ``verifier appraise`` says."""

    outcome: Outcome
    check_id: str = ""
    detail: str = ""
    remedy: str = ""  # what to change, for ``check_id``
    findings: tuple[Finding, ...] = ()
    claims: Mapping[str, Any]
    root: str = ""
    anchor: str = ""

    @property
    def verdict(self) -> Literal["valid", "invalid"]:
        """``valid`` for genuine or accepted evidence, ``invalid`` for every kind of no."""
        return "valid" if self.outcome in ("genuine", "accepted") else "invalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Parts of one scheme's evidence, and what they are judged by. ``endorsements``: every document that is at hand, by name."""

    scheme: Scheme[Any, Any]
    parts: Mapping[str, bytes]
    endorsements: Mapping[str, bytes]
    now: int
    user_data: bytes | None = None
    policy: CompiledPolicy | None = None


def _no(error: BridgeError, claims: Mapping[str, Any]) -> OfflineVerdict:
    outcome: Outcome = "rejected"
    if isinstance(error, MalformedEvidence):
        outcome = "malformed"
    elif isinstance(error, CannotDecide):
        outcome = "cannot-decide"
    return OfflineVerdict(
        outcome=outcome,
        check_id=error.check_id,
        detail=error.detail,
        remedy=remedy_of(error.check_id),
        claims=claims,
    )


def _judged(
    findings: tuple[Finding, ...], claims: Mapping[str, Any], root: str, anchor: str, check_id: str
) -> OfflineVerdict:
    """``check_id``: the rule that said no first; "" where none did."""
    failed = next((finding for finding in findings if finding.rule == check_id and not finding.ok), None)
    return OfflineVerdict(
        outcome="rejected" if check_id else "accepted",
        check_id=check_id,
        detail="" if failed is None else failed.detail or f"{failed.field}: got {failed.seen}, want {failed.expected}",
        remedy=remedy_of(check_id) if failed is None or not failed.remedy else failed.remedy,
        findings=findings,
        claims=claims,
        root=root,
        anchor=anchor,
    )


def _fallback(form: CaseForm, files: CaseFiles) -> Mapping[str, Any]:
    try:
        return form.fallback_claims(files)
    except (MalformedEvidence, IncompleteCase):
        return {}  # nothing beside it can be read either


def judge_case(form: CaseForm, files: CaseFiles) -> OfflineVerdict:
    """Judge a case by the rules that its own policy sets, and report the evidence claims whatever the verdict."""
    try:
        claims = form.claims(files)
    except MalformedEvidence as error:
        return _no(error, _fallback(form, files))
    except IncompleteCase as error:
        return _no(MalformedEvidence(error.check_id, error.detail), _fallback(form, files))
    try:
        verdict = form.judge(files)
    except BridgeError as error:
        return _no(error, claims)
    except IncompleteCase as error:
        return _no(MalformedEvidence(error.check_id, error.detail), claims)
    refused = next((finding.rule for finding in verdict.findings if not finding.ok), "")
    return _judged(verdict.findings, claims, verdict.root or "", verdict.anchor, refused)


def verify_parts(given: Given, evidence: Any) -> Verified[Any, Any]:
    """Verify decoded evidence with the endorsements that are at hand; raises one of the three kinds of no."""
    expected = UnsafeUnbound(given.user_data)
    check_user_data(given.scheme, evidence, expected)
    return run_checks(given.scheme, gather_subject(given, evidence, all_required=True), expected)


def gather_subject(given: Given, evidence: Any, *, all_required: bool) -> Subject[Any, Any]:
    """Put together what the checks are given: of the endorsements those that the scheme asks for."""
    scheme, endorsements = given.scheme, given.endorsements
    carried = {name: data for name, data in endorsements.items() if name in scheme.form.endorsements}

    def ask(needs: tuple[Need, ...]) -> dict[str, bytes]:
        for need in needs:
            if need.required and all_required and need.name not in endorsements:
                raise CannotDecide(
                    f"{scheme.name}.endorsement.{need.name}", f"{need.name}: got nothing, want it in --endorsements"
                )
        return {need.name: endorsements[need.name] for need in needs if need.name in endorsements}

    collateral = scheme.collateral.collate(evidence, gather(scheme, evidence, carried, ask))
    return Subject(evidence, collateral, scheme.verification.anchors, given.now, ChainCache())


def judge_parts(given: Given) -> OfflineVerdict:
    """Judge parts: genuine without a policy, accepted or rejected with one."""
    claims: Mapping[str, Any] = {}
    try:
        require_parts(given.scheme, given.parts, {})
        evidence = given.scheme.form.decode(given.parts)
        claims = given.scheme.form.claims(evidence)
        verified = verify_parts(given, evidence)
    except BridgeError as error:
        return _no(error, claims)
    if given.policy is None:
        return OfflineVerdict(outcome="genuine", claims=claims, root=verified.root, anchor="built-in")
    appraisal = appraise(verified, given.policy, given.now)
    return _judged(appraisal.findings, claims, verified.root, "built-in", appraisal.check_id)
