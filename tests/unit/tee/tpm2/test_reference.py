"""What a trust owner may write, and what the token then says was measured."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forge.tpm2 import make_tpm
from tests.support.vectors import base_vector, verify_vector
from tests.vectors.tpm2.forging import good_values, tpm
from verifier.formats.encoding import sha256
from verifier.tee.scheme import Matched
from verifier.tee.tpm2.identity import Config, Firmware, Platform, Workload
from verifier.tee.tpm2.rules import measurement
from verifier.tee.tpm2.scheme import SCHEME

ONE = "01" * 32
ZERO = "00" * 32
ENTRY = {"type": "EV_IPL", "digests": [ONE]}
RULE = {"index": 8, "until": "end", "events": [ENTRY]}


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Firmware, {"pcrs": {"0": ZERO}}),
        (Firmware, {"pcrs": {"8": ONE}}),
        (Firmware, {"pcrs": {}}),
        (Firmware, {"pcrs": {"0": ONE.upper().replace("0", "A")}}),
        (Firmware, {"pcrs": {"00": ONE}}),
        (Firmware, {"event_log": [RULE]}),
        (Firmware, {"event_log": []}),
        (Firmware, {"secure_boot": "yes"}),
        (Workload, {"pcrs": {"7": ZERO}}),
        (Workload, {"pcrs": {"16": ONE}}),
        (Workload, {"pcrs": {"23": ONE}}),
        (Workload, {"event_log": [RULE, RULE]}),
        (Workload, {"event_log": [{**RULE, "index": 16}]}),
        (Workload, {"event_log": [{**RULE, "until": "boot"}]}),
        (Workload, {"event_log": [{**RULE, "events": [{"type": "EV_IPL"}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{**ENTRY, "data": ["00"]}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{**ENTRY, "type": "EV_NO_ACTION"}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{**ENTRY, "type": "EV_UNHEARD_OF"}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{**ENTRY, "at_least": 2}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{"type": "EV_IPL", "digests": []}]}]}),
        (Workload, {"event_log": [{**RULE, "events": [{"type": "EV_IPL", "variable": {
            "vendor": "8BE4DF61-93CA-11d2-AA0D-00E098032B8C", "name": "SecureBoot", "values": ["01"]}}]}]}),
        (Config, {"extended": {"digest": ONE, "pcr": 16}}),
        (Config, {"extended": {"digest": ONE, "pcr": 23}}),
        (Config, {"extended": {"digest": ONE, "pcr": 7}}),
        (Config, {"extended": {"pcr": 15}}),
        (Platform, {"root": "vendor"}),
        (Platform, {"ek_digests": []}),
        (Platform, {"min_firmware_version": "1"}),
        (Platform, {"clock_safe": False}),
        (Platform, {"unheard_of": 1}),
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused(model: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)


def test_the_configurations_pcr_is_15_unless_said() -> None:
    assert Config.model_validate({"extended": {"digest": ONE}}).model_dump()["extended"] == {"digest": ONE, "pcr": 15}


def matched(scope: Any, **values: Any) -> Matched:
    return Matched(scope, "name", 1, values)


def test_the_measurement_hashes_each_selected_pcr_once_in_ascending_order() -> None:
    verified = verify_vector(base_vector("tpm2"), SCHEME)
    bank = tpm().values["sha256"]
    identities = (
        matched("workload", pcrs={"9": "", "8": ""}, event_log=[{"index": 9}, {"index": 4}]),
        matched("firmware", pcrs={"0": "", "4": ""}),
        matched("config", extended={"pcr": 15}),
        matched("platform", root="simulated"),
    )
    assert measurement(verified, identities) == sha256(bank[0] + bank[4] + bank[8] + bank[9]).hex()
    assert measurement(verified, (matched("workload", pcrs=None, event_log=None),)) == ""
    assert measurement(verified, (matched("workload", pcrs={"16": ""}),)) == ""
    keyed = (matched("workload", uki={"pcr11": {"": ["x"]}}), matched("firmware", secure_boot_keys={"pk": ["x"]}))
    assert measurement(verified, keyed) == sha256(bank[7] + bank[11]).hex()
    assert measurement(verified, (matched("workload", ima={"files": ["x"]}),)) == ""


def test_the_instance_is_the_enrolled_aks_name() -> None:
    verified = verify_vector(base_vector("tpm2"), SCHEME)
    assert SCHEME.token.instance(verified) == ("tpm2-ak", tpm().ak_name.hex())
    assert verified.root == "simulated"


def test_no_rule_holds_for_nothing() -> None:
    verified = verify_vector(base_vector("tpm2"), SCHEME)
    good = good_values(tpm())
    for rule in SCHEME.appraisal.rules:
        assert rule.judge(verified, good[rule.id]).ok
    for rule_id in ("tpm2.firmware.pcrs", "tpm2.workload.pcrs"):
        assert not next(r for r in SCHEME.appraisal.rules if r.id == rule_id).judge(verified, {}).ok
    for rule_id in ("tpm2.firmware.event-log", "tpm2.workload.event-log"):
        assert not next(r for r in SCHEME.appraisal.rules if r.id == rule_id).judge(verified, []).ok


def test_what_the_record_says_of_secure_boot_is_what_the_log_proves() -> None:
    verified = verify_vector(base_vector("tpm2"), SCHEME)
    assert SCHEME.form.claims(verified.evidence)["log"]["secure_boot"] == "on"


@pytest.mark.slow
def test_forged_tpms_of_one_label_have_the_same_keys() -> None:
    assert make_tpm("rsa", label="one").ak_name == make_tpm("rsa", label="one").ak_name
    assert make_tpm("rsa", label="one").ak_name != make_tpm("rsa", label="two").ak_name
