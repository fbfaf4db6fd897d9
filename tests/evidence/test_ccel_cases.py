"""Published CCEL logs: read as their own publishers read them, and what changes when something about them is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.parts import published_evidence
from verifier.cases.folder import read_case
from verifier.cases.form import CaseFiles
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES
from verifier.tee.ccel.decode import decode_cc_log
from verifier.tee.tcg.data import DATA_IS_HASHED, data_is_digest
from verifier.tee.tcg.layout import SHA384, type_name

QUOTED = "gcp-cos-113"
IMA = "ima-in-rtmr2-cctrusted"
PARSED = ("trustee-aael-alibaba", "trustee-grub", "trustee-ovmf")


def _case(name: str) -> CaseFiles:
    return read_case(published_evidence() / "ccel" / name, CASES)


def _judge(files: CaseFiles, **evidence: bytes | None) -> OfflineVerdict:
    kept = {**files.evidence, **{k.replace("__", "."): v for k, v in evidence.items()}}
    return judge_case(CASES["ccel"], replace(files, evidence={k: v for k, v in kept.items() if v is not None}))


@pytest.mark.parametrize("name", PARSED)
def test_a_log_is_read_as_its_publisher_reads_it(name: str) -> None:
    files = _case(name)
    log = decode_cc_log(files.evidence["eventlog.bin"])
    parse: list[Mapping[str, Any]] = json.loads(files.evidence["expected_parse.json"])["uefi_event_logs"]
    ours = [
        (e.register, type_name(e.type), base64.b64encode(e.data).decode(), e.digests[SHA384.id].hex())
        for e in log.events
    ]
    assert ours == [(e["index"], e["type_name"], e["event"], e["digests"][0]["digest"]) for e in parse]
    # Where the data are what was hashed, both say so of each event.
    for event, theirs in zip(log.events, parse, strict=True):
        if event.type in DATA_IS_HASHED:
            assert data_is_digest(event, SHA384) == theirs["digest_matches_event"], event.ordinal


def test_without_expected_registers_the_quotes_own_count() -> None:
    files = replace(_case(QUOTED), collateral={})
    assert _judge(files).outcome == "accepted"
    other = replace(_case("gcp-cos-113-other-boot"), collateral={})
    assert _judge(other).check_id == "ccel.replay"


def test_a_log_is_no_longer_than_its_area() -> None:
    files = _case(QUOTED)
    assert _judge(files, eventlog__bin=files.evidence["eventlog.bin"] + b"\xff").check_id == "ccel.acpi-table"
    assert _judge(files, eventlog__bin=files.evidence["eventlog.bin"][:20_000]).outcome == "accepted"


def test_the_ima_list_leads_from_the_log_to_the_quote() -> None:
    files = _case(IMA)
    listed = files.evidence["ima_log.txt"]
    assert _judge(files, ima_log__txt=listed + listed).outcome == "accepted"  # it grew after the quote
    assert _judge(files, ima_log__txt=listed.replace(b" 67c7", b" 67c8")).check_id == "ccel.ima.replay"
    assert (
        _judge(files, ima_log__txt=listed.replace(b"boot_aggregate", b"boot_xggregate")).check_id == "ccel.ima.template"
    )
    assert _judge(files, ima_log__txt=None).outcome == "accepted"


def test_data_count_only_where_they_are_asked_for() -> None:
    files = _case(QUOTED)
    log = files.evidence["eventlog.bin"]
    at = log.index("SecureBoot".encode("utf-16-le")) + 20
    changed = log[:at] + bytes((log[at] ^ 1,)) + log[at + 1 :]
    assert _judge(files, eventlog__bin=changed).check_id == "ccel.data"
    assert _judge(replace(files, policy={}), eventlog__bin=changed).outcome == "accepted"


def test_an_applications_event_says_what_was_hashed() -> None:
    files = _case("trustee-aael-alibaba")
    changed = files.evidence["eventlog.bin"].replace(b"some-operation", b"some-0peration", 1)
    assert _judge(files, eventlog__bin=changed).check_id == "ccel.data"
