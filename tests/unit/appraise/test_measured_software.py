"""No scheme's policy leaves guest software unmeasured without the linter saying so, and none affirms ``executables`` by that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.observed import drafted, excepted, with_configuration
from verifier.appraise.bundle import compile_all, gather
from verifier.appraise.documents import parse_document
from verifier.appraise.lint import Warned, lint
from verifier.appraise.plain import PlainDocument
from verifier.tee.registry import SCHEMES

pytestmark = pytest.mark.slow

# (scheme, fields of its classes that the identities give instead of a machine's own, what the policy leaves unchecked)
UNMEASURED: tuple[tuple[str, Mapping[str, Mapping[str, Any]], tuple[str, ...]], ...] = (
    # Whoever signs an enclave writes these.
    ("sgx", {"workload": {"isvextprodid": "11" * 16}}, ("workload.mrenclave", "workload.signed")),
    # A firmware that nobody measured extends whatever it likes.
    ("tdx", {}, ("firmware.mrtd",)),
    # RTMR3 is extended by what RTMR1 and RTMR2 measured.
    ("tdx", {}, ("workload.rtmrs.1",)),
    ("tdx", {}, ("workload.rtmrs.2",)),
    # The role of an instance, and no image.
    (
        "aws-nitro",
        {"workload": {"pcrs": {"3": "11" * 48}}},
        tuple(f"workload.pcrs.{index}" for index in range(3)),
    ),
    # The GPU's firmware is none of the guest's.
    ("sev-snp-gpu", {}, ("firmware.measurement", "firmware.id_key_digest", "firmware.author_key_digest")),
    ("tdx-gpu", {}, ("firmware.mrtd",)),
)


def _linted(name: str, told: Mapping[str, Mapping[str, Any]], unchecked: tuple[str, ...]) -> tuple[list[Warned], bool]:
    """Lint the policy that is drafted for a machine, changed where told; also whether it affirms ``executables``."""
    scheme, values = SCHEMES[name], with_configuration(name)
    for scope, fields in told.items():
        values[scope] = {**values[scope], **fields}
    for path in unchecked:
        scope, field, *key = path.split(".")
        if not key:
            values[scope].pop(field, None)
    *identities, policy = drafted(scheme, values, excepted(name))
    policy["unchecked"] = sorted({*policy.get("unchecked", ()), *unchecked})
    documents = [PlainDocument(f"t.yaml#{at}", one) for at, one in enumerate((*identities, policy), start=1)]
    gathered = gather([parse_document(one, SCHEMES) for one in documents], {})
    (compiled,) = compile_all(gathered, SCHEMES).values()
    return lint(gathered, {("acme", "m"): compiled}, 0), "executables" not in compiled.unclaimed


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_machines_own_policy_measures_its_software(name: str) -> None:
    warned, affirmed = _linted(name, {}, ())
    assert not [one for one in warned if one.id == "lint.unmeasured"]
    assert affirmed


@pytest.mark.parametrize(("name", "told", "unchecked"), UNMEASURED)
def test_what_does_not_measure_software_is_no_measurement(
    name: str, told: Mapping[str, Mapping[str, Any]], unchecked: tuple[str, ...]
) -> None:
    warned, affirmed = _linted(name, told, unchecked)
    assert "lint.unmeasured" in {one.id for one in warned}
    assert not affirmed


def test_a_cpus_table_measures_by_what_is_in_it() -> None:
    rules = {rule.id: rule for rule in SCHEMES["gcp-vtpm"].appraisal.rules if rule.field in ("sev_snp", "tdx")}
    measurement, rtmrs = rules["sev-snp.measurement"], rules["tdx.rtmrs"]
    assert measurement.measures({"measurement": ["11" * 48]})
    assert not measurement.measures({"vmpl": [0], "measurement": None})
    assert not measurement.measures({})
    assert rtmrs.measures({"rtmrs": {"1": "11" * 48, "2": "11" * 48}})
    assert not rtmrs.measures({"rtmrs": {"3": "11" * 48}})
    assert rules["sev-snp.id-key-digest"].measures({"id_key_digest": "11" * 48})
    assert not rules["sev-snp.id-key-digest"].measures({"id_key_digest": "00" * 48})


@pytest.mark.parametrize("name", sorted(SCHEMES))
def test_a_policy_that_lets_in_what_may_be_debugged_says_so(name: str) -> None:
    """By whatever name the scheme has for it: such a policy is told by the linter, and mints in simulated processes alone."""
    scheme = SCHEMES[name]
    fields = scheme.appraisal.exceptions.model_fields.keys()
    assert fields & scheme.appraisal.debug_exceptions or not fields & {field for field in fields if "debug" in field}
    for field in sorted(fields & scheme.appraisal.debug_exceptions):
        assert {"lint.debug"} <= {one.id for one in _excepting(name, {field: True})}
        assert "lint.debug" not in {one.id for one in _excepting(name, {field: False})}


def _excepting(name: str, exceptions: Mapping[str, Any]) -> list[Warned]:
    *identities, policy = drafted(SCHEMES[name], with_configuration(name), {**excepted(name), **exceptions})
    documents = [PlainDocument(f"t.yaml#{at}", one) for at, one in enumerate((*identities, policy), start=1)]
    gathered = gather([parse_document(one, SCHEMES) for one in documents], {})
    (compiled,) = compile_all(gathered, SCHEMES).values()
    return lint(gathered, {("acme", "m"): compiled}, 0)
