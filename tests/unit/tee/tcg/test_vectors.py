"""``tcg-eventlog``: cuts, flipped bits, claims and the usage errors. Its vectors are run by the conformance suite."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.vectors import CaseVector, case_vectors_of, run_case_vector
from tests.vectors.tcg_eventlog import recipes
from verifier.cases.form import CaseError
from verifier.cases.registry import CASES
from verifier.tee.catalogue import listed
from verifier.tee.registry import SCHEMES
from verifier.tee.tcg.decode import decode_log

FORM = CASES["tcg-eventlog"]


def _vector(name: str) -> CaseVector:
    return next(v for v in case_vectors_of("tcg-eventlog") if v.name == name)


def _base() -> CaseVector:
    return _vector("crypto-agile")


def _ids() -> set[str]:
    return {one.id for one in listed("tcg-eventlog")}


def _with_log(data: bytes) -> CaseVector:
    files = dataclasses.replace(_base().files, evidence={"eventlog.bin": data})
    return dataclasses.replace(_base(), files=files)


def test_it_is_no_scheme_and_so_can_never_mint() -> None:
    assert "tcg-eventlog" not in SCHEMES


def test_every_vector_has_an_id_of_its_own() -> None:
    assert {v.check_id for v in case_vectors_of("tcg-eventlog")} - {""} <= _ids()


def test_a_cut_in_an_event_is_malformed_and_one_between_events_fails_replay() -> None:
    log = decode_log(_base().files.evidence["eventlog.bin"])
    events = recipes.agile().events
    ends = {len(b"".join(events[:n])) for n in range(1, len(events))}
    for cut in range(log.bytes_used):
        want = ("rejected", "tcg-eventlog.replay") if cut in ends else ("malformed", "tcg-eventlog.decode.eventlog")
        assert run_case_vector(_with_log(log.raw[:cut]), FORM) == want, cut


def test_every_bit_of_a_digest_counts() -> None:
    raw = recipes.tcg12().to_bytes()
    vector = _vector("tcg-1-2")
    for position in range(8, 28):
        for bit in range(8):
            data = bytearray(raw)
            data[position] ^= 1 << bit
            files = dataclasses.replace(vector.files, evidence={"eventlog.bin": bytes(data)})
            changed = dataclasses.replace(vector, files=files)
            assert run_case_vector(changed, FORM) == ("rejected", "tcg-eventlog.replay")


def test_claims_are_given_even_of_a_log_that_cannot_be_read() -> None:
    vector = _vector("cut-in-an-event")
    assert FORM.fallback_claims(vector.files)["registers"].keys() == {"sha1", "sha256", "sha384"}


def test_claims_say_what_the_log_holds() -> None:
    claims = FORM.claims(_base().files)
    assert claims["log"]["algorithms"] == ["sha1", "sha256", "sha384"]
    assert claims["log"]["secure_boot"] is True
    assert claims["log"]["indexes"] == list(range(10))
    assert claims["log"]["bytes_used"] == len(_base().files.evidence["eventlog.bin"])
    assert claims["log"]["spec_id"] == "2.00.00"
    assert claims["log"]["event_types"]["EV_SEPARATOR"] == 8


@pytest.mark.parametrize(
    "changes",
    [{"evidence": {}}, {"collateral": {}}, {"policy": {"check_event_data": "yes"}}],
    ids=["no-log", "no-registers", "policy-no-boolean"],
)
def test_a_case_that_is_wrong_itself_is_a_usage_error(changes: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        FORM.judge(dataclasses.replace(_base().files, **changes))
