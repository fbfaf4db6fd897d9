"""What a published SNP case says when its policy or its collateral is changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.parts import published_evidence
from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES

GOOD = "milan-v3-vcek-oak-containers"


def _case(name: str) -> CaseFiles:
    return read_case(published_evidence() / "sev-snp" / name, CASES)


def _judge(files: CaseFiles) -> OfflineVerdict:
    return judge_case(CASES["sev-snp"], files)


def _with_policy(files: CaseFiles, **policy: Any) -> CaseFiles:
    return replace(files, policy={**files.policy, **policy})


def test_debug_is_valid_where_the_policy_allows_it() -> None:
    files = _case("milan-v2-debug-policy-google")
    assert _judge(files).check_id == "sev-snp.policy.debug"
    assert _judge(_with_policy(files, allow_debug=True)).outcome == "accepted"


@pytest.mark.parametrize(
    ("policy", "check_id"),
    [
        ({"measurement": "00" * 48}, "sev-snp.measurement"),
        ({"report_data": "00" * 64}, "binding.user-data"),
        ({"min_committed_version": "99.0.0"}, "sev-snp.firmware-version"),
        ({"min_committed_version": "1.0.0"}, ""),
    ],
)
def test_each_policy_key_sets_one_rule(policy: dict[str, Any], check_id: str) -> None:
    assert _judge(_with_policy(_case(GOOD), **policy)).check_id == check_id


@pytest.mark.parametrize(
    "policy",
    [
        {"allow_debug": "yes"},
        {"measurement": "00"},
        {"report_data": "zz" * 64},
        {"min_committed_version": 155},
        {"allow_everything": True},
    ],
)
def test_a_policy_that_is_wrong_is_the_callers_mistake(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        _judge(_with_policy(_case(GOOD), **policy))


def test_a_crl_that_is_there_is_used_and_one_that_is_demanded_has_to_be_there() -> None:
    files = _case(GOOD)
    without = replace(files, collateral={k: v for k, v in files.collateral.items() if k != "crl.pem"})
    assert _judge(without).outcome == "accepted"
    demanded = _judge(replace(without, crl_required=True))
    assert (demanded.outcome, demanded.check_id) == ("cannot-decide", "sev-snp.endorsement.crl")
    stale = _judge(replace(files, now=files.now + 10 * 365 * 86_400))
    assert stale.verdict == "invalid"
    genoa = _case("genoa-v5-vcek-oak-containers").collateral["crl.pem"]
    of_another = _judge(replace(files, collateral={**files.collateral, "crl.pem": genoa}))
    assert (of_another.outcome, of_another.check_id) == ("cannot-decide", "sev-snp.endorsement.crl")


def test_the_cases_own_root_is_never_an_anchor() -> None:
    files = _case("milan-v3-forged-own-root")
    assert _judge(files).check_id == "sev-snp.chain.root"
    without = replace(files, collateral={k: v for k, v in files.collateral.items() if k != "ark.pem"})
    assert _judge(without).check_id in {"sev-snp.chain.root", "sev-snp.chain.signature"}


def test_a_vcek_of_another_product_is_refused() -> None:
    files, other = _case(GOOD), _case("turin-v5-vcek-azure-aci")
    swapped = {k: v for k, v in files.collateral.items() if k not in {"vcek.der", "ask.pem", "crl.pem"}}
    swapped |= {k: other.collateral[k] for k in ("vcek.pem", "ask.pem", "ark.pem")}
    assert _judge(replace(files, collateral=swapped, now=other.now)).check_id == "sev-snp.report.signature"
