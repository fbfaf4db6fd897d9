"""What the conformance suite asks of schemes, asked of ``tcg-eventlog``, which is none."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.sources import ROOT, constants_like_ids
from tests.support.vectors import CaseVector, recipes_of, run_case_vector
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.registry import CASES
from verifier.tee.registry import SCHEMES
from verifier.tee.tcg.decode import decode_log

RECIPES = recipes_of("tcg-eventlog")
VECTORS: tuple[CaseVector, ...] = RECIPES.VECTORS
FORM = CASES["tcg-eventlog"]
BASE = VECTORS[0]


def _ids() -> set[str]:
    return set(constants_like_ids("verifier/tee/tcg", "tcg-eventlog")) - RECIPES.NOT_IDS


def _with_log(data: bytes) -> CaseVector:
    files = dataclasses.replace(BASE.files, evidence={"eventlog.bin": data})
    return dataclasses.replace(BASE, files=files)


def test_it_is_no_scheme_and_so_can_never_mint() -> None:
    assert "tcg-eventlog" not in SCHEMES


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.name)
def test_a_vector_ends_as_it_says(vector: CaseVector) -> None:
    assert run_case_vector(vector, FORM) == (vector.outcome, vector.check_id)


def test_vectors_are_named_once() -> None:
    names = [v.name for v in VECTORS]
    assert len(set(names)) == len(names)


def test_every_id_has_a_vector_and_every_vector_an_id_of_its_own() -> None:
    have = {v.check_id for v in VECTORS}
    assert _ids() <= have
    assert have - {""} <= _ids()


def test_every_id_has_its_line_in_the_docs() -> None:
    text = (ROOT / "docs" / "tee" / "tcg-eventlog.md").read_text(encoding="utf-8")
    assert not sorted(i for i in _ids() if f"`{i}`" not in text)


def test_a_cut_in_an_event_is_malformed_and_one_between_events_fails_replay() -> None:
    log = decode_log(BASE.files.evidence["eventlog.bin"])
    events = RECIPES.agile().events
    ends = {len(b"".join(events[:n])) for n in range(1, len(events))}
    for cut in range(log.bytes_used):
        want = ("rejected", "tcg-eventlog.replay") if cut in ends else ("malformed", "tcg-eventlog.decode.eventlog")
        assert run_case_vector(_with_log(log.raw[:cut]), FORM) == want, cut


def test_every_bit_of_a_digest_counts() -> None:
    raw = RECIPES.tcg12().to_bytes()
    vector = next(v for v in VECTORS if v.name == "tcg-1-2")
    for position in range(8, 28):
        for bit in range(8):
            data = bytearray(raw)
            data[position] ^= 1 << bit
            files = dataclasses.replace(vector.files, evidence={"eventlog.bin": bytes(data)})
            changed = dataclasses.replace(vector, files=files)
            assert run_case_vector(changed, FORM) == ("rejected", "tcg-eventlog.replay")


def test_claims_are_given_even_of_a_log_that_cannot_be_read() -> None:
    vector = next(v for v in VECTORS if v.name == "cut-in-an-event")
    assert FORM.fallback_claims(vector.files)["registers"].keys() == {"sha1", "sha256", "sha384"}


def test_claims_say_what_the_log_holds() -> None:
    claims = FORM.claims(BASE.files)
    assert claims["log"]["algorithms"] == ["sha1", "sha256", "sha384"]
    assert claims["log"]["secure_boot"] is True
    assert claims["log"]["indexes"] == list(range(10))
    assert claims["log"]["bytes_used"] == len(BASE.files.evidence["eventlog.bin"])
    assert claims["log"]["spec_id"] == "2.00.00"
    assert claims["log"]["event_types"]["EV_SEPARATOR"] == 8


@pytest.mark.parametrize(
    "files",
    [
        dataclasses.replace(BASE.files, evidence={}),
        dataclasses.replace(BASE.files, collateral={}),
        dataclasses.replace(BASE.files, policy={"check_event_data": "yes"}),
    ],
    ids=["no-log", "no-registers", "policy-no-boolean"],
)
def test_a_case_that_is_wrong_itself_is_a_usage_error(files: CaseFiles) -> None:
    with pytest.raises(CaseError):
        FORM.judge(files)
