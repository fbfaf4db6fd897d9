"""SGX beyond its vectors: measurement, identity models, what a mask hides."""

from __future__ import annotations

from typing import Any, Final

import pytest
from pydantic import ValidationError

from forge.intel import ForgedIntel
from verifier.cases.platforms.sgx import CASE
from verifier.formats.x509chain import ChainCache
from verifier.tee.scheme import Subject, Verified
from verifier.tee.sgx.identity import ConfigValues, Exceptions, WorkloadValues
from verifier.tee.sgx.scheme import SCHEME
from verifier.tee.verified import UnsafeUnbound, run_checks

NOW: Final = 1_800_000_000
INTEL: Final = ForgedIntel(now=NOW)
RULES: Final = {rule.id: rule for rule in SCHEME.appraisal.rules}


def _verified(**fields: Any) -> Verified[Any, Any]:
    evidence = SCHEME.form.decode({"quote": INTEL.quote("sgx", report_data=bytes(64), **fields)})
    collateral = SCHEME.collateral.collate(evidence, INTEL.collateral("sgx"))
    return run_checks(SCHEME, Subject(evidence, collateral, (INTEL.anchor(),), NOW, ChainCache()), UnsafeUnbound())


def test_measurement_and_debug_are_the_reports() -> None:
    verified = _verified(mrenclave=bytes(range(32)))
    assert SCHEME.token.measurement(verified, ()) == bytes(range(32)).hex()
    assert SCHEME.token.debug_status(verified.evidence) == "disabled-since-boot"
    assert SCHEME.token.debug_status(_verified(attributes=bytes((7, *(0,) * 15))).evidence) == "enabled"
    assert SCHEME.token.tcb_status(verified) == "UpToDate"


def test_every_claim_has_its_words() -> None:
    assert set(SCHEME.form.claims(_verified().evidence)) <= set(CASE.words)


@pytest.mark.parametrize(("isvsvn", "ok"), [(2, False), (3, True), (4, True)])
def test_a_signer_is_accepted_from_a_version_on(isvsvn: int, ok: bool) -> None:  # noqa: FBT001 - a table
    verified = _verified(isvsvn=isvsvn)
    report = verified.evidence.report
    wanted = {"mrsigner": report.mrsigner.hex(), "isvprodid": report.isvprodid, "minimum_isvsvn": 3}
    assert RULES["sgx.signed"].judge(verified, wanted).ok is ok
    assert not RULES["sgx.signed"].judge(verified, {**wanted, "isvprodid": report.isvprodid + 1}).ok
    assert not RULES["sgx.signed"].judge(verified, {**wanted, "mrsigner": "00" * 32}).ok
    assert not RULES["sgx.signed"].judge(verified, {"mrsigner": wanted["mrsigner"], "isvprodid": 7}).ok


def test_a_mask_hides_what_it_leaves_out_and_nothing_else() -> None:
    verified = _verified(attributes=bytes((5, 0, 0, 0, 0, 0, 0, 0, 0xE7, *(0,) * 7)))
    judge = RULES["sgx.attributes"].judge
    assert judge(verified, {"value": "05" + "00" * 15, "mask": "ff" * 8 + "00" * 8}).ok
    assert not judge(verified, {"value": "05" + "00" * 15, "mask": "ff" * 16}).ok
    assert not judge(verified, {"value": "04" + "00" * 15, "mask": "ff" * 8 + "00" * 8}).ok


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (WorkloadValues, {"mrenclave": []}),
        (WorkloadValues, {"mrenclave": ["00" * 31]}),
        (WorkloadValues, {"signed": {"mrsigner": "00" * 32, "isvprodid": 1}}),
        (WorkloadValues, {"signed": {"mrsigner": "00" * 32, "isvprodid": 65536, "minimum_isvsvn": 0}}),
        (WorkloadValues, {"attributes": {"value": "ff" * 16, "mask": "00" * 16}}),
        (WorkloadValues, {"miscselect": {"value": "0x00000002", "mask": "0x00000001"}}),
        (ConfigValues, {"configuration": {"configid": "00" * 32}}),
        (Exceptions, {"allow_debug": 1}),
    ],
)
def test_values_that_would_check_nothing_or_the_wrong_thing_are_refused(model: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)
