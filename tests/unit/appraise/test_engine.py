"""Appraisal: every rule runs, every finding is kept, the vector is what the evidence says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import trust
from tests.support.trust import NOW, ToyEvidence
from verifier.appraise.bundle import compile_all, gather
from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.engine import appraise, known_from
from verifier.appraise.result import Appraisal
from verifier.core.rules import TRUST_CLAIMS, Judgement, Rule


def _compiled(
    *more: dict[str, Any], schemes: Any = trust.SCHEMES, identities: list[dict[str, Any]] | None = None, **policy: Any
) -> CompiledPolicy:
    documents = [*(trust.identities() if identities is None else identities), *more, trust.policy(**policy)]
    (compiled,) = compile_all(gather(map(trust.parse, documents), {}), schemes).values()
    return compiled


def _judge(policy: CompiledPolicy | None = None, now: int = NOW, **evidence: Any) -> Appraisal:
    return appraise(trust.verified(ToyEvidence(**evidence)), policy or _compiled(), now)


def _failed(appraisal: Appraisal) -> list[str]:
    return [finding.rule for finding in appraisal.findings if not finding.ok]


def test_evidence_that_satisfies_everything_is_accepted() -> None:
    appraisal = _judge()
    assert (appraisal.accepted, appraisal.check_id, appraisal.ear_status) == (True, "", "affirming")
    assert [finding.rule for finding in appraisal.findings] == [
        *("toy.debug", "toy.migration", "toy.svn", "toy.chip", "toy.boot", "toy.level", "toy.pcrs", "toy.config")
    ]
    assert [(one.scope, one.name, one.version) for one in appraisal.matched] == [
        *(("platform", "chips", 1), ("firmware", "boot", 1), ("workload", "app", 1), ("config", "none", 1))
    ]
    assert set(appraisal.vector) == set(TRUST_CLAIMS)
    assert {claim for claim, value in appraisal.vector.items() if value == 2} == {
        *("hardware", "instance-identity", "executables", "configuration")
    }
    assert (appraisal.instance_kind, appraisal.instance_id, appraisal.measurement) == ("chip", "c0000001", "b0000001")
    assert (appraisal.root, appraisal.host_excluded, appraisal.bound, appraisal.tcb_status) == (
        *("vendor", True, False, "NotApplicable"),
    )
    assert appraisal.policy_digest == _compiled().digest


@pytest.mark.parametrize(
    ("evidence", "check_id"),
    [
        ({"debug": True}, "toy.debug"),
        ({"migration": True}, "toy.migration"),
        ({"svn": 4}, "toy.svn"),
        ({"chip": "c0000002"}, "toy.chip"),
        ({"boot": "b0000002"}, "toy.boot"),
        ({"level": 1}, "toy.level"),
        ({"pcrs": (("8", "00000008"),)}, "toy.pcrs"),
        ({"config": "00000001"}, "toy.config"),
    ],
)
def test_each_rule_refuses_under_its_own_id(evidence: dict[str, Any], check_id: str) -> None:
    appraisal = _judge(**evidence)
    assert not appraisal.accepted
    assert appraisal.check_id == check_id
    assert _failed(appraisal) == [check_id]
    assert len(appraisal.findings) == 8
    assert appraisal.ear_status == ("warning" if check_id == "toy.svn" else "contraindicated")


def test_every_no_is_kept_and_the_first_names_the_refusal() -> None:
    appraisal = _judge(debug=True, svn=1, boot="b0000002", config="00000009")
    assert _failed(appraisal) == ["toy.debug", "toy.svn", "toy.boot", "toy.config"]
    assert appraisal.check_id == "toy.debug"
    assert [one.scope for one in appraisal.matched] == ["workload"]


def test_exception_lets_pass_and_leaves_the_vector_as_it_is() -> None:
    policy = _compiled(exceptions={"allow_debug": True})
    appraisal = _judge(policy, debug=True)
    assert appraisal.accepted
    assert appraisal.vector["hardware"] == 96
    assert appraisal.ear_status == "contraindicated"
    assert (appraisal.debug_status, appraisal.debug_allowed) == ("enabled", True)
    assert "exception" in appraisal.findings[0].detail
    without = _judge(policy)
    assert (without.ear_status, without.vector["hardware"], without.findings[0].detail) == ("affirming", 2, "")


BOTH = [{"name": "old", "version": 1}, {"name": "boot", "version": 1}]
OLD = trust.identity("firmware", "old", {"boot": "b0000000", "level": 0})


def test_any_of_picks_the_first_that_holds_whole() -> None:
    appraisal = _judge(_compiled(OLD, firmware=BOTH))
    assert appraisal.accepted
    assert appraisal.matched[1].name == "boot"
    assert [finding.identity for finding in appraisal.findings if finding.scope == "firmware"] == ["boot@1", "boot@1"]
    assert _judge(_compiled(OLD, firmware=BOTH), boot="b0000000").matched[1].name == "old"


def test_any_of_that_fails_keeps_every_candidate_and_names_the_best_ones_rule() -> None:
    policy = _compiled(OLD, firmware=BOTH)
    appraisal = _judge(policy, level=1)
    firmware = [(one.identity, one.rule, one.ok) for one in appraisal.findings if one.scope == "firmware"]
    assert firmware == [
        ("boot@1", "toy.boot", True),
        ("boot@1", "toy.level", False),
        ("old@1", "toy.boot", False),
        ("old@1", "toy.level", False),
    ]
    assert appraisal.check_id == "toy.level"


def test_parts_of_two_identities_make_no_whole() -> None:
    other = trust.identity("firmware", "old", {"boot": "b0000000", "level": 1})
    assert not _judge(_compiled(other, firmware=BOTH), level=1).accepted


def test_all_of_workload_must_hold() -> None:
    more = trust.identity("workload", "kernel", {"pcrs": {"4": "00000004"}})
    policy = _compiled(more, workload=[{"name": "app", "version": 1}, {"name": "kernel", "version": 1}])
    appraisal = _judge(policy)
    assert (appraisal.accepted, appraisal.check_id) == (False, "toy.pcrs")
    assert [one.name for one in appraisal.matched if one.scope == "workload"] == ["app"]
    assert _judge(policy, pcrs=(("4", "00000004"), ("8", "00000008"), ("9", "00000009"))).accepted


WINDOW = {"from": "2026-05-01T00:00:00Z", "until": "2026-07-01T00:00:00Z"}
MAY, JULY = 1_777_593_600, 1_782_864_000


@pytest.mark.parametrize(("now", "accepted"), [(MAY - 1, False), (MAY, True), (JULY - 1, True), (JULY, False)])
def test_window_is_honoured_to_the_second(now: int, accepted: bool) -> None:  # noqa: FBT001
    identities = [{**one, "window": WINDOW} if one["name"] == "boot" else one for one in trust.identities()]
    appraisal = _judge(_compiled(identities=identities), now=now)
    assert appraisal.accepted is accepted
    assert appraisal.check_id == ("" if accepted else "policy.identity.window")
    assert len(appraisal.findings) == (8 if accepted else 9)


def test_n_and_n_minus_1_until_a_date() -> None:
    old = {**OLD, "window": {"until": "2026-07-01T00:00:00Z"}}
    policy = _compiled(old, firmware=BOTH)
    assert _judge(policy, now=JULY - 1, boot="b0000000").accepted
    assert not _judge(policy, now=JULY, boot="b0000000").accepted
    assert _judge(policy, now=JULY).accepted


def test_policy_of_another_scheme_accepts_nothing() -> None:
    appraisal = appraise(trust.verified(scheme=trust.toy_scheme(name="other")), _compiled(), NOW)
    assert (appraisal.accepted, appraisal.check_id, appraisal.ear_status) == (False, "policy.scheme", "contraindicated")
    assert appraisal.matched == ()
    assert set(appraisal.vector.values()) == {96}


def test_nothing_to_check_is_a_failure() -> None:
    scheme = trust.replace_models(trust.toy_scheme(rules=()), {})
    policy = _compiled(
        schemes={"toy": scheme}, identities=[], platform=None, firmware=None, workload=None, config=None, unchecked=[]
    )
    appraisal = appraise(trust.verified(scheme=scheme), policy, NOW)
    assert (appraisal.accepted, appraisal.check_id, appraisal.ear_status) == (
        False,
        "policy.nothing",
        "contraindicated",
    )


@pytest.mark.parametrize(
    ("policy", "claims"),
    [
        ({"platform": None, "unchecked": ["workload.extra", "platform"]}, {"hardware", "instance-identity"}),
        ({"workload": None, "unchecked": ["workload"]}, {"executables"}),
    ],
)
def test_what_is_unchecked_is_not_affirmed(policy: dict[str, Any], claims: set[str]) -> None:
    appraisal = _judge(_compiled(**policy))
    assert appraisal.accepted
    assert appraisal.ear_status == "none"
    affirmed = {"hardware", "instance-identity", "executables", "configuration"} - claims
    assert {claim for claim, value in appraisal.vector.items() if value == 2} == affirmed
    assert appraisal.unchecked_classes == set(policy["unchecked"]) - {"workload.extra"}


def test_true_is_not_taken_for_one() -> None:
    """Findings are used again for evidence that says the same; Python's ``True == 1`` must not make it the same."""
    answers = iter((1, True))
    rule: Rule[Any] = Rule(
        id="toy.x", scope="service", field="x", judge=lambda _v, _e: Judgement(ok=True, seen=next(answers))
    )
    policy = _compiled(schemes={"toy": trust.toy_scheme(rules=(*trust.RULES, rule))})
    first = _judge(policy)
    second = appraise(trust.verified(), policy, NOW, known_from(first))
    assert [type(one.findings[2].seen) for one in (first, second)] == [int, bool]


_EVIDENCE = st.builds(
    ToyEvidence,
    debug=st.booleans(),
    migration=st.booleans(),
    svn=st.integers(3, 8),
    chip=st.sampled_from(["c0000001", "c0000002"]),
    boot=st.sampled_from(["b0000000", "b0000001"]),
    level=st.integers(0, 1),
    config=st.sampled_from(["00000000", "00000001"]),
)


@given(_EVIDENCE, _EVIDENCE, st.sampled_from([{}, {"allow_debug": True}]), st.sampled_from([NOW, NOW - 10**9]))
def test_what_an_earlier_appraisal_found_changes_the_cost_alone(
    before: ToyEvidence, evidence: ToyEvidence, exceptions: dict[str, Any], now: int
) -> None:
    policy = _compiled(exceptions=exceptions)
    known = known_from(appraise(trust.verified(before), policy, NOW))
    alone, again = (appraise(trust.verified(evidence), policy, now, *more) for more in ((), (known,)))
    assert again == alone
    same = before == evidence and not exceptions and now == NOW
    assert not same or all(known[one.rule, one.identity] is one for one in again.findings)


@given(_EVIDENCE)
def test_no_policy_makes_the_vector_better(evidence: ToyEvidence) -> None:
    """Exceptions, a longer list of candidates and unchecked fields: none raises a claim or the status above the strict policy's."""
    rank = {"affirming": 0, "none": 1, "warning": 2, "contraindicated": 3}
    strict = appraise(trust.verified(evidence), _compiled(), NOW)
    lenient = appraise(trust.verified(evidence), _compiled(exceptions={"allow_debug": True}), NOW)
    assert rank[lenient.ear_status] == rank[strict.ear_status]
    assert lenient.vector == strict.vector
    assert strict.accepted == all(finding.ok for finding in strict.findings)
    assert strict.accepted == (strict.check_id == "")
    assert not strict.accepted or strict.ear_status == "affirming"
