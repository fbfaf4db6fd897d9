"""``ccel``: cuts, malformed files of any bytes, the layout it shares with quotes, and the usage errors."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.bootlog import BootLog
from forge.intel_cclog import ccel_acpi_table, measured_cc_boot, rtmrs_of
from forge.intel_quote import Shape
from tests.support.vectors import CaseVector, case_vectors_of, run_case_vector
from tests.vectors.ccel import recipes
from verifier.cases.form import CaseError
from verifier.cases.judge import judge_case
from verifier.cases.platforms.ccel import CASE, require_rtmrs
from verifier.cases.registry import CASES
from verifier.formats.errors import EvidenceRejected, MalformedEvidence
from verifier.tee.catalogue import remedy_of
from verifier.tee.ccel import layout
from verifier.tee.ccel.decode import (
    decode_acpi_table,
    decode_cc_log,
    decode_ima,
    rtmrs_of_quote,
    template_holds,
)
from verifier.tee.dcap import layout as dcap
from verifier.tee.registry import SCHEMES
from verifier.tee.tcg.layout import SHA384

LOG = recipes.LOG


def _vector(name: str) -> CaseVector:
    return next(v for v in case_vectors_of("ccel") if v.name == name)


def _base() -> CaseVector:
    return _vector("log-area-of-ones")


def _with(**evidence: bytes) -> CaseVector:
    names = {"log": "eventlog.bin", "quote": "td_quote.bin", "table": "ccel_acpi_table.bin", "ima": "ima_log.txt"}
    files = dataclasses.replace(
        _base().files, evidence={**_base().files.evidence, **{names[k]: v for k, v in evidence.items()}}
    )
    return dataclasses.replace(_base(), files=files)


def test_it_is_no_scheme_and_so_can_never_mint() -> None:
    assert "ccel" not in SCHEMES
    assert CASES["ccel"] is CASE


def test_a_cut_in_an_event_is_malformed_and_one_between_events_fails_replay() -> None:
    whole = LOG.to_bytes()
    ends = {len(b"".join(LOG.events[:n])) for n in range(1, len(LOG.events))}
    for cut in range(len(whole)):
        want = ("rejected", "ccel.replay") if cut in ends else ("malformed", "ccel.decode.eventlog")
        assert run_case_vector(_with(log=whole[:cut]), CASE) == want, cut


def test_every_truncation_of_the_table_and_every_trailing_byte_is_malformed() -> None:
    table = ccel_acpi_table()
    assert run_case_vector(_with(table=table), CASE) == ("accepted", "")
    for bad in (*(table[:n] for n in range(len(table))), table + b"\x00", table + b"\xff"):
        assert run_case_vector(_with(table=bad), CASE) == ("malformed", "ccel.decode.acpi-table")


def test_every_bit_of_the_table_is_covered_by_its_checksum() -> None:
    table = ccel_acpi_table()
    for position in range(len(table)):
        changed = bytearray(table)
        changed[position] ^= 0x10
        assert run_case_vector(_with(table=bytes(changed)), CASE)[0] in {"malformed", "rejected"}


def test_a_quotes_rtmrs_stand_where_the_quotes_own_layout_has_them() -> None:
    rtmr0 = next(f for f in dcap.TD_REPORT_10.fields if f.name == "rtmr0")
    assert (dcap.HEADER_SIZE, rtmr0.offset) == (layout.QUOTE_HEADER, layout.RTMR0_OFFSET)
    assert {kind: table.size for kind, table in dcap.BODIES.items() if kind != dcap.BODY_SGX} == layout.TD_BODY_TYPES
    for kind in layout.TD_BODY_TYPES:
        quote = recipes.quote(Shape(version=5, body_type=kind))
        assert rtmrs_of_quote(quote) == {n + 1: rtmrs_of(LOG)[f"rtmr{n}"] for n in range(4)}


def test_claims_say_what_the_bytes_say() -> None:
    vector = _vector("everything-beside")
    claims = CASE.claims(vector.files)
    assert claims["rtmr2_after_boot_log"] == LOG.registers(SHA384)[3].hex()
    assert claims["rtmr2_in_quote"] == recipes.rtmr2_after(recipes.IMA, 2).hex()
    assert claims["log"]["secure_boot"] is True
    assert claims["log"]["indexes"] == [1, 2, 3]
    assert claims["acpi_table"] == {"log_size": 65536, "cc_type": 2}
    assert "ima_template_hash" not in claims  # the list has two entries
    one = CASE.claims(_with(ima=recipes.ima_line("boot_aggregate").encode()).files)
    assert one["ima_template_hash"] == recipes.ima_line("boot_aggregate").split()[1]


def test_beside_a_file_that_cannot_be_read_the_others_are_told() -> None:
    verdict = judge_case(CASE, _with(quote=b"").files)
    assert (verdict.outcome, verdict.check_id) == ("malformed", "ccel.decode.quote")
    assert verdict.claims["log"]["bytes_used"] == len(LOG.to_bytes())
    verdict = judge_case(CASE, _with(log=b"").files)
    assert verdict.claims.keys() == {"registers"}
    assert verdict.remedy == remedy_of("ccel.decode.eventlog")


@pytest.mark.parametrize("policy", [{"check_event_data": 1}, {"check_event_data": "yes"}])
def test_a_policy_that_is_wrong_is_the_callers_mistake(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        run_case_vector(dataclasses.replace(_base(), files=dataclasses.replace(_base().files, policy=policy)), CASE)


@pytest.mark.parametrize("lacking", ["eventlog.bin", "expected_registers.json"])
def test_a_file_that_is_missing_is_the_callers_mistake(lacking: str) -> None:
    evidence = {k: v for k, v in _base().files.evidence.items() if k != lacking}
    collateral = {k: v for k, v in _base().files.collateral.items() if k != lacking}
    files = dataclasses.replace(_base().files, evidence=evidence, collateral=collateral)
    with pytest.raises(CaseError, match=lacking):
        run_case_vector(dataclasses.replace(_base(), files=files), CASE)


events = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([4, 6, 0xD, 0x80000003]), st.binary(max_size=40)), max_size=12
)


@given(events)
def test_a_log_replays_to_what_was_extended(listed: list[tuple[int, int, bytes]]) -> None:
    log = BootLog((SHA384,)).add(1, 4, bytes(4))
    for register, kind, data in listed:
        log.add(register, kind, data)
    want = {n + 1: rtmrs_of(log)[f"rtmr{n}"] for n in range(4)}
    decoded = decode_cc_log(log.to_bytes())
    require_rtmrs(decoded, want, check_id="test")
    for register, value in want.items():
        with pytest.raises(EvidenceRejected):
            require_rtmrs(decoded, {**want, register: SHA384.digest(value)}, check_id="test")


def mutated(base: bytes) -> st.SearchStrategy[bytes]:
    patches = st.tuples(st.integers(0, len(base)), st.binary(min_size=1, max_size=12)).map(
        lambda p: base[: p[0]] + p[1] + base[p[0] + len(p[1]) :]
    )
    return st.one_of(patches, st.binary(max_size=200), st.integers(0, len(base)).map(lambda n: base[:n]))


@settings(max_examples=200)
@given(mutated(measured_cc_boot().to_bytes()))
def test_a_log_of_any_bytes_is_malformed_or_judged(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        assert decode_cc_log(data).raw == data
    assert run_case_vector(_with(log=data), CASE)[0] in {"accepted", "malformed", "rejected"}


@settings(max_examples=200)
@given(mutated(ccel_acpi_table()), st.deferred(lambda: mutated(recipes.quote())), mutated(recipes.IMA.encode()))
def test_files_of_any_bytes_are_malformed_or_judged(table: bytes, quote: bytes, ima: bytes) -> None:
    for reader, data in ((decode_acpi_table, table), (rtmrs_of_quote, quote)):
        with contextlib.suppress(MalformedEvidence):
            reader(data)
    with contextlib.suppress(MalformedEvidence):
        for entry in decode_ima(ima):
            template_holds(entry)
    for name, data in (("table", table), ("quote", quote), ("ima", ima)):
        assert run_case_vector(_with(**{name: data}), CASE)[0] in {"accepted", "malformed", "rejected"}
