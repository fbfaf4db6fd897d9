"""TDX beyond its vectors: measurement, claims, identity models, honest trust values."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import pytest
from pydantic import ValidationError

from forge.intel import ForgedIntel
from forge.intel_cclog import log_area
from forge.intel_quote import Shape
from verifier.cases.platforms.tdx import CASE
from verifier.formats.x509chain import ChainCache
from verifier.tee.dcap import layout
from verifier.tee.scheme import Subject, Verified
from verifier.tee.tdx.identity import ConfigValues, Exceptions, FirmwareValues, PlatformValues, WorkloadValues
from verifier.tee.tdx.scheme import SCHEME
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
RULES: Final = {rule.id: rule for rule in SCHEME.appraisal.rules}


def _verified(
    shape: Shape | None = None,
    *,
    log: bool = False,
    intel: ForgedIntel = INTEL,
    info: bytes | None = None,
    **fields: Any,
) -> Verified[Any, Any]:
    parts = {"quote": intel.quote("tdx", report_data=bytes(64), shape=shape or Shape(), **fields)}
    if log:
        parts["eventlog"] = log_area(intel.event_log)
    evidence = SCHEME.form.decode(parts)
    collateral = SCHEME.collateral.collate(
        evidence, {**intel.collateral("tdx"), **({} if info is None else {"tcb_info": info})}
    )
    return run_checks(SCHEME, Subject(evidence, collateral, (intel.anchor(),), NOW, ChainCache()), UnsafeUnbound())


def test_the_measurement_is_mrtd_and_all_rtmrs() -> None:
    verified = _verified()
    report = verified.evidence.report
    want = hashlib.sha384(report.mrtd + report.rtmr0 + report.rtmr1 + report.rtmr2 + report.rtmr3).hexdigest()
    assert SCHEME.token.measurement(verified, ()) == want
    assert SCHEME.token.measurement(_verified(rtmr3=bytes(47) + b"\1"), ()) != want


def test_the_instance_is_the_platform_and_without_one_the_processor() -> None:
    pck = _verified().collateral.pck
    assert pck is not None
    assert SCHEME.token.instance(_verified()) == ("intel.piid", pck.platform_instance_id.hex())
    processor = ForgedIntel(now=NOW, ca="processor")
    kind, name = SCHEME.token.instance(_verified(intel=processor))
    assert (kind, name) == ("intel.ppid", (processor.platform.ppid or b"").hex())


@pytest.mark.parametrize(("status", "value"), [("UpToDate", None), ("SWHardeningNeeded", 32), ("OutOfDate", 32)])
def test_an_accepted_status_is_worth_what_it_is(status: str, value: int | None) -> None:
    verified = _verified(info=INTEL.signed_tcb_info("tdx", status=status))
    assert SCHEME.token.tcb_status(verified) == status
    for rule, expected in (("tdx.tcb.status", [status]), ("tdx.tcb.supported", True)):
        judgement = RULES[rule].judge(verified, expected)
        assert (judgement.ok, judgement.value) == (True, value)


def test_a_refused_status_says_why_with_numbers() -> None:
    old = _verified(tee_tcb_svn=bytes((4, 1, 3, *(0,) * 13)))
    said = RULES["tdx.tcb.status"].judge(old, ["UpToDate"])
    assert not said.ok
    assert "got OutOfDate, want one of UpToDate" in said.detail
    assert "TDX module TDX_01 SVN 4 is OutOfDate" in said.detail
    none = ForgedIntel(now=NOW, comps=(0,) * 16)
    refused = RULES["tdx.tcb.supported"].judge(_verified(intel=none), True)  # noqa: FBT003
    assert not refused.ok
    assert "SGX component 1: got 0, want at least" in refused.detail


def test_claims_name_what_the_log_proves() -> None:
    evidence = _verified(log=True).evidence
    claims = SCHEME.form.claims(evidence)
    assert claims["log"]["secure_boot"] in ("on", "off", "empty", None)
    assert claims["rtmr0"] == evidence.report.rtmr0.hex()
    assert "log" not in SCHEME.form.claims(_verified().evidence)


def test_later_bodies_claim_their_fields_and_the_first_does_not() -> None:
    later = SCHEME.form.claims(_verified(Shape(version=5, body_type=layout.BODY_TD_15)).evidence)
    assert later["tee_tcb_svn2"]
    assert later["mrservicetd"] == bytes(48).hex()
    first = SCHEME.form.claims(_verified().evidence)
    assert not {"tee_tcb_svn2", "mrservicetd", "tdid"} & first.keys()
    assert set(first) | set(later) <= {*CASE.words, "log"}


@pytest.mark.parametrize("status", ["Revoked", "NotSupported", "Fine", ""])
def test_nobody_can_accept_what_is_never_acceptable(status: str) -> None:
    with pytest.raises(ValidationError):
        PlatformValues.model_validate({"accepted_tcb_statuses": ["UpToDate", status]})


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (PlatformValues, {"accepted_tcb_statuses": []}),
        (PlatformValues, {"chip_allow": []}),
        (PlatformValues, {"chip_allow": ["00" * 16]}),
        (PlatformValues, {"chip_allow": ["ppid:" + "AA" * 16]}),
        (PlatformValues, {"minimum_tcb_date": "2025-13-01"}),
        (PlatformValues, {"minimum_tcb_date": "2025-01-01T00:00:00Z"}),
        (PlatformValues, {"minimum_evaluation_number": "17"}),
        (FirmwareValues, {"mrtd": []}),
        (FirmwareValues, {"mrtd": "00" * 48}),
        (FirmwareValues, {"event_log": [{"index": 2, "until": "end", "events": []}]}),
        (WorkloadValues, {"rtmrs": {"0": "00" * 48}}),
        (WorkloadValues, {"rtmrs": {}}),
        (WorkloadValues, {"event_log": [{"index": 5, "until": "end", "events": []}]}),
        (WorkloadValues, {"event_log": [{"index": 2, "until": "end", "events": []}] * 2}),
        (ConfigValues, {"measured": {"place": "rtmr2", "digest": "none"}}),
        (ConfigValues, {"measured": {"place": "rtmr3"}}),
        (Exceptions, {"mrservicetd": "00"}),
        (Exceptions, {"allow_everything": True}),
    ],
)
def test_values_that_would_check_nothing_or_the_wrong_thing_are_refused(model: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)


def test_a_configuration_extended_twice_or_not_at_all_is_another() -> None:
    digest = hashlib.sha384(b"configuration").digest()
    once = hashlib.sha384(bytes(48) + digest).digest()
    twice = hashlib.sha384(once + digest).digest()
    rule = RULES["tdx.config"]
    wanted = {"place": "rtmr3", "digest": digest.hex()}
    assert rule.judge(_verified(rtmr3=once), wanted).ok
    assert not rule.judge(_verified(rtmr3=twice), wanted).ok
    assert not rule.judge(_verified(rtmr3=bytes(48)), wanted).ok
    assert not rule.judge(_verified(rtmr3=digest), wanted).ok
    assert rule.judge(_verified(rtmr3=bytes(48)), {"place": "rtmr3", "digest": "none"}).ok
    assert not rule.judge(_verified(rtmr3=once), {"place": "rtmr3", "digest": "none"}).ok
    assert not rule.judge(_verified(mrconfigid=once), wanted).ok
    assert rule.judge(_verified(mrconfigid=digest), {"place": "mrconfigid", "digest": digest.hex()}).ok
    assert not rule.judge(_verified(), {}).ok
