"""The appraisal engine: runs every rule, keeps every finding. Pure (step 6 of docs/architecture.md).

Starts contraindicated. Service rules first, then each class of identities: all of ``workload``, any of the others, where the
first identity for which everything holds is picked and otherwise the findings of every candidate are kept. The AR4SI vector
(draft-ietf-rats-ar4si) is worked out from what the evidence says, never from what a policy lets pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.appraise.compiled import Candidate, CompiledClass, CompiledPolicy, PreparedRule
from verifier.appraise.result import Appraisal, EarStatus
from verifier.core.ids import PolicyId
from verifier.core.rules import TRUST_CLAIMS, Finding, Judgement, Scope, TrustClaim
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Matched, Verified

CONTRAINDICATED = 96
WARNING = 32
AFFIRMING = 2
NO_CLAIM = 0


# (rule, identity) -> what an earlier appraisal by the same policy found.
Known: TypeAlias = Mapping[tuple[str, str], Finding]
NOTHING_KNOWN: Final[Known] = MappingProxyType({})

_WINDOW_CLAIM: dict[Scope, TrustClaim] = {"platform": "hardware", "config": "configuration"}


def appraise(verified: Verified[Any, Any], policy: CompiledPolicy, now: int, known: Known = NOTHING_KNOWN) -> Appraisal:
    """Appraise genuine evidence. ``now`` is Unix seconds. A no is a finding, never an exception.

    ``known`` (``known_from``) changes nothing but the cost: a finding that would be equal is used again. Machines of one kind
    mostly say what the last one said, and making the findings anew is up to a third of an appraisal.
    """
    if verified.scheme.name != policy.scheme.name:
        return _result(verified, policy, (_wrong_scheme(verified, policy),), (), {}, contraindicated=True)
    vector: dict[TrustClaim, int] = {}
    findings = _judge_all(policy.service, verified, known)
    _lower(vector, findings)
    matched: list[Matched] = []
    for one in policy.classes:
        kept, counted, held = (_all_of if one.all_of else _any_of)(one, verified, now, known)
        findings += kept
        _lower(vector, counted)
        matched += held
    if not findings:
        findings.append(Finding(PolicyId.NOTHING, "service", "policy", ok=False, expected="a rule", seen=None))
        _lower(vector, findings)
    return _result(verified, policy, tuple(findings), tuple(matched), vector)


def known_from(appraisal: Appraisal) -> Known:
    """Return what the next appraisal by the same policy may use again."""
    return {(finding.rule, finding.identity): finding for finding in appraisal.findings}


def _judge_all(rules: tuple[PreparedRule, ...], verified: Verified[Any, Any], known: Known) -> list[Finding]:
    """Judge every rule."""
    findings = []
    for prepared in rules:
        rule = prepared.rule
        judgement = rule.judge(verified, prepared.expected)
        # What an exception lets pass is judged by the default too, so that an equal judgement may make another finding.
        last = None if prepared.excepted else known.get((rule.id, prepared.identity))
        if (
            last is None
            or last.ok is not judgement.ok
            or last.seen != judgement.seen
            or type(last.seen) is not type(judgement.seen)
            or last.detail != judgement.detail
        ):
            if prepared.excepted:
                last = _excepted(prepared, judgement, verified)
            else:
                last = _finding(prepared, judgement, rule.worth(judgement))
        findings.append(last)
    return findings


def _excepted(prepared: PreparedRule, judgement: Judgement, verified: Verified[Any, Any]) -> Finding:
    """Judge by the default as well: what an exception lets pass keeps its effect on the vector."""
    rule = prepared.rule
    by_default = rule.judge(verified, prepared.default)
    value = rule.worth(judgement) if by_default.ok else rule.fails_as
    if judgement.ok and not by_default.ok and not judgement.detail:
        said = "let pass by an exception of the policy; the trust vector says what it is"
        judgement = Judgement(ok=True, seen=judgement.seen, detail=said)
    return _finding(prepared, judgement, value)


def _finding(prepared: PreparedRule, judgement: Judgement, value: int) -> Finding:
    rule = prepared.rule
    remedy = "" if judgement.ok else remedy_of(rule.id)
    return rule.finding(judgement, prepared.expected, prepared.identity, value=value, remedy=remedy)


def _try_candidate(
    candidate: Candidate, verified: Verified[Any, Any], now: int, known: Known
) -> tuple[list[Finding], int]:
    """Judge all of an identity's rules; returns the findings and how many failed."""
    findings = _judge_all(candidate.rules, verified, known)
    if not candidate.valid_from <= now < candidate.valid_until:
        scope = candidate.matched.scope
        window = {"from": max(candidate.valid_from, 0), "until": candidate.valid_until}
        findings.insert(
            0,
            Finding(
                PolicyId.WINDOW,
                scope,
                "window",
                ok=False,
                expected=window,
                seen=now,
                identity=candidate.reference,
                detail=f"{candidate.reference} may not be used now",
                remedy=remedy_of(PolicyId.WINDOW),
                trust_claim=_WINDOW_CLAIM.get(scope, "executables"),
                value=WARNING,
            ),
        )
    return findings, sum([not finding.ok for finding in findings])


def _any_of(
    one: CompiledClass, verified: Verified[Any, Any], now: int, known: Known
) -> tuple[list[Finding], list[Finding], tuple[Matched, ...]]:
    """Pick the first identity that holds whole. Otherwise keep every candidate's findings, the one with fewest noes first."""
    tried: list[tuple[int, list[Finding]]] = []
    for candidate in one.candidates:
        findings, failed = _try_candidate(candidate, verified, now, known)
        if not failed:
            return findings, findings, (candidate.matched,)
        tried.append((failed, findings))
    tried.sort(key=lambda pair: pair[0])
    return [finding for _failed, findings in tried for finding in findings], tried[0][1], ()


def _all_of(
    one: CompiledClass, verified: Verified[Any, Any], now: int, known: Known
) -> tuple[list[Finding], list[Finding], tuple[Matched, ...]]:
    kept: list[Finding] = []
    held: list[Matched] = []
    for candidate in one.candidates:
        findings, failed = _try_candidate(candidate, verified, now, known)
        kept += findings
        if not failed:
            held.append(candidate.matched)
    return kept, kept, tuple(held)


def _lower(vector: dict[TrustClaim, int], findings: list[Finding]) -> None:
    """Keep the worst value of each claim; AR4SI's positive values grow worse as they grow."""
    for finding in findings:
        claim = finding.trust_claim
        if finding.value > vector.get(claim, -1):
            vector[claim] = finding.value


def _status(vector: dict[TrustClaim, int], *, contraindicated: bool, essential: frozenset[TrustClaim]) -> EarStatus:
    worst = max(vector.values(), default=CONTRAINDICATED)
    if contraindicated or worst >= CONTRAINDICATED:
        return "contraindicated"
    if worst >= WARNING:
        return "warning"
    if worst < AFFIRMING or any(vector.get(claim, NO_CLAIM) < AFFIRMING for claim in essential):
        return "none"
    return "affirming"


def _wrong_scheme(verified: Verified[Any, Any], policy: CompiledPolicy) -> Finding:
    return Finding(
        PolicyId.SCHEME,
        "service",
        "scheme",
        ok=False,
        expected=policy.scheme.name,
        seen=verified.scheme.name,
        detail=f"scheme: got {verified.scheme.name}, want {policy.scheme.name}",
        trust_claim="hardware",
    )


def _result(
    verified: Verified[Any, Any],
    policy: CompiledPolicy,
    findings: tuple[Finding, ...],
    matched: tuple[Matched, ...],
    vector: dict[TrustClaim, int],
    *,
    contraindicated: bool = False,
) -> Appraisal:
    scheme = verified.scheme
    evidence = verified.evidence
    failed = next((finding for finding in findings if not finding.ok), None)
    for claim in policy.unclaimed:  # what a policy does not look at is not affirmed
        if vector.get(claim, NO_CLAIM) < WARNING:
            vector[claim] = NO_CLAIM
    whole: dict[TrustClaim, int] = {
        claim: CONTRAINDICATED if contraindicated else vector.get(claim, NO_CLAIM) for claim in TRUST_CLAIMS
    }
    kind, instance = scheme.token.instance(verified)
    return Appraisal(
        accepted=failed is None,
        check_id="" if failed is None else failed.rule,
        findings=findings,
        matched=matched,
        vector=whole,
        ear_status=_status(vector, contraindicated=contraindicated, essential=policy.essential),
        scheme=scheme.name,
        policy=policy.name,
        policy_digest=policy.digest,
        root=verified.root,
        host_excluded=scheme.host_excluded,
        bound=verified.bound,
        measurement=scheme.token.measurement(verified, matched),
        instance_kind=kind,
        instance_id=instance,
        debug_status=scheme.token.debug_status(evidence),
        debug_allowed=policy.allows_debug,
        tcb_status=scheme.token.tcb_status(verified),
        unchecked_classes=policy.unchecked_classes,
        evidence_claims=scheme.form.claims(evidence),
    )
