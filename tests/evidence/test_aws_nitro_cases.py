"""What published Nitro documents say when their policy, their time or their bytes are changed."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.parts import published_evidence
from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES
from verifier.formats import cbor
from verifier.formats.cose import decode_sign1, encode_sign1

GOOD = "aws-nitro/nautilus-weather"
INDEFINITE = "aws-nitro/user-data-dstack"
NONCE = "aws-nitro/nonce-veracruz"
TPM = "aws-nitrotpm/nitrotpm-ak-bound-vaportpm"
DOCUMENT = "attestation.cbor"


def _folder(name: str) -> Path:
    return published_evidence() / name


def _case(name: str) -> CaseFiles:
    return read_case(_folder(name), CASES)


def _judge(files: CaseFiles) -> OfflineVerdict:
    return judge_case(CASES[files.platform], files)


def _policy(files: CaseFiles, **policy: Any) -> CaseFiles:
    return replace(files, policy={**files.policy, **policy})


def _file(files: CaseFiles, name: str, data: bytes) -> CaseFiles:
    return replace(files, evidence={**files.evidence, name: data})


def test_debug_is_valid_where_the_policy_allows_it() -> None:
    files = _case("aws-nitro/debug-dstack")
    assert _judge(files).check_id == "aws-nitro.pcrs.debug"
    assert _judge(_policy(files, allow_debug=True)).outcome == "accepted"


def test_a_nonce_counts_where_one_is_asked_for() -> None:
    files = _case(NONCE)
    stated = json.loads((_folder(NONCE) / "case.json").read_text(encoding="utf-8"))["claims"]["nonce"]
    assert _judge(_policy(files, nonce=stated)).outcome == "accepted"
    assert _judge(_policy(files, nonce=stated[:-2])).check_id == "binding.user-data"
    for name in (GOOD, INDEFINITE):  # documents without a nonce
        assert _judge(_policy(_case(name), nonce="")).check_id == "binding.user-data"
        assert _judge(_policy(_case(name), nonce=stated)).check_id == "binding.user-data"


@pytest.mark.parametrize("policy", [{"allow_debug": 1}, {"nonce": "0"}])
def test_a_policy_of_the_wrong_form_is_a_usage_error(policy: dict[str, Any]) -> None:
    for name in (GOOD, TPM):
        with pytest.raises(CaseError):
            _judge(_policy(_case(name), **policy))


def test_a_document_is_good_for_three_hours() -> None:
    files = _case(GOOD)
    claims = _judge(files).claims
    made = int(claims["timestamp_ms"]) // 1000
    assert _judge(replace(files, now=made)).outcome == "accepted"
    for moment in (made - 3 * 3600, made + 3 * 3600):
        assert _judge(replace(files, now=moment)).check_id == "aws-nitro.chain.validity"


def test_both_forms_of_the_payloads_map_are_genuine_and_neither_may_be_written_anew() -> None:
    for name, form in ((GOOD, 0xA9), (INDEFINITE, 0xBF)):
        files = _case(name)
        read = decode_sign1(files.evidence[DOCUMENT], "t", name)
        assert read.payload[0] == form
        assert not read.tagged
        tagged = encode_sign1(read.protected, read.unprotected, read.payload, read.signature, tagged=True)
        assert _judge(_file(files, DOCUMENT, tagged)).outcome == "accepted"
        value = cbor.decode(read.payload, "t", name, indefinite=True)
        other = cbor.encode(value, indefinite=form == 0xA9)
        anew = encode_sign1(read.protected, read.unprotected, other, read.signature)
        assert _judge(_file(files, DOCUMENT, anew)).check_id == "aws-nitro.document.signature"


@pytest.mark.parametrize("name", [GOOD, INDEFINITE, TPM])
def test_changed_bytes_are_refused(name: str) -> None:
    files, chance = _case(name), random.Random(name)  # noqa: S311 - for tests
    data = files.evidence[DOCUMENT]
    for _ in range(200):
        bad = bytearray(data)
        bad[chance.randrange(len(bad))] ^= 1 << chance.randrange(8)
        assert _judge(_file(files, DOCUMENT, bytes(bad))).verdict == "invalid"


@pytest.mark.parametrize("name", ["tpm_quote.msg", "tpm_quote.sig.der"])
def test_every_changed_bit_of_a_quote_is_refused(name: str) -> None:
    files = _case(TPM)
    data = files.evidence[name]
    for place in range(8 * len(data)):
        bad = bytearray(data)
        bad[place // 8] ^= 1 << place % 8
        assert _judge(_file(files, name, bytes(bad))).verdict == "invalid"


def test_register_values_beside_the_document_have_to_be_its_own() -> None:
    files = _case(TPM)
    banks = json.loads(files.evidence["pcrs.json"])
    banks["sha384"]["16"] = "11" * 48
    changed = _file(files, "pcrs.json", json.dumps(banks).encode())
    assert _judge(changed).check_id == "aws-nitrotpm.pcrs.document"


def test_a_nonce_is_the_quotes_and_the_documents() -> None:
    files = _case(TPM)
    stated = _judge(files).claims["nonce"]
    assert _judge(_policy(files, nonce=stated)).outcome == "accepted"
    assert _judge(_policy(files, nonce="00" * 32)).check_id == "binding.user-data"
    assert _judge(_policy(files, nonce="")).check_id == "binding.user-data"


def test_an_enclaves_document_is_no_nitrotpms_and_the_other_way_round() -> None:
    enclave, tpm = _case(GOOD), _case(TPM)
    wrong = _file(tpm, DOCUMENT, enclave.evidence[DOCUMENT])
    assert _judge(wrong).check_id == "aws-nitrotpm.decode.attestation"
    wrong = _file(enclave, DOCUMENT, tpm.evidence[DOCUMENT])
    assert _judge(wrong).check_id == "aws-nitro.decode.attestation"
