"""NitroTPM: which bytes mean the same, which do not, and that a case's files are named as the envelope's parts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from forge.aws_nitro import ForgedNitro
from forge.aws_nitrotpm import ForgedNitroTpm, point
from forge.tpm2 import new_key
from tests.vectors.aws_nitrotpm.recipes import BOUND, CONFIG, DIGEST, MACHINE, NOW, good
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.aws_nitrotpm import CASE
from verifier.formats.encoding import sha256
from verifier.formats.errors import EvidenceRejected, Failed, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.aws_nitro.scheme import SCHEME as NITRO
from verifier.tee.aws_nitrotpm.decode import decode
from verifier.tee.aws_nitrotpm.identity import Config, Firmware, Workload
from verifier.tee.aws_nitrotpm.scheme import SCHEME
from verifier.tee.aws_nitrotpm.verify import Collateral, attestation_key
from verifier.tee.catalogue import remedy_of
from verifier.tee.scheme import Matched, Subject, Verified
from verifier.tee.verified import Expected, run_checks

PARTS = ("attestation", "eventlog", "pcrs", "quote", "quote_sig")


def verify(parts: Mapping[str, bytes], expected: Expected = BOUND) -> Verified[Any, Any]:
    subject = Subject(decode(parts), Collateral(), (MACHINE.anchor(),), NOW, ChainCache())
    return run_checks(SCHEME, subject, expected)


def test_it_trusts_whom_nitro_trusts() -> None:
    assert SCHEME.verification.anchors == NITRO.verification.anchors
    assert SCHEME.verification.anchors_of == ("aws-nitro",)
    assert not SCHEME.host_excluded


@pytest.mark.slow
@settings(max_examples=250)
@given(st.sampled_from(PARTS), st.data())
def test_any_byte_changed_in_any_part_is_refused_or_says_the_same(part: str, data: st.DataObject) -> None:
    raw = bytearray(good()[part])
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    parts = {**good(), part: bytes(raw)}
    try:
        verified = verify(parts)
    except (MalformedEvidence, EvidenceRejected):
        return
    # An event log's text, and an event's type, are no more than words beside the digests.
    assert part == "eventlog"
    assert verified.evidence.quoted == decode(good()).quoted


def test_documents_of_enclaves_and_of_tpms_are_not_each_other() -> None:
    enclave = ForgedNitro(now=NOW).document(user_data=DIGEST.whole)
    with pytest.raises(MalformedEvidence, match=r"aws-nitrotpm\.decode\.attestation"):
        decode({**good(), "attestation": enclave})
    with pytest.raises(MalformedEvidence, match=r"aws-nitro\.decode\.attestation"):
        NITRO.form.decode({"attestation": good()["attestation"]})


def test_the_token_names_module_and_selected_pcrs() -> None:
    verified = verify(good())
    assert verified.bound
    assert SCHEME.token.instance(verified)[1] == MACHINE.nitro.module
    pcrs = {str(i): MACHINE.pcrs[i].hex() for i in (9, 8)}
    matched = (
        Matched("workload", "web", 1, {"pcrs": pcrs}),
        Matched("firmware", "uefi", 1, {"pcrs": {"0": "", "8": ""}}),
        Matched("config", "attester", 1, {"extended": {"pcr": 15}}),
    )
    assert SCHEME.token.measurement(verified, matched) == sha256(b"".join(MACHINE.pcrs[i] for i in (0, 8, 9))).hex()
    assert SCHEME.token.measurement(verified, matched[2:]) == ""
    observed = SCHEME.appraisal.observe(verified)
    Firmware.model_validate(observed["firmware"])
    assert set(observed["firmware"]["pcrs"]) == {str(i) for i in range(8)}


@pytest.mark.parametrize("kind", ["ecc", "ecc-p384", "rsa"])
def test_keys_are_read_in_the_forms_that_documents_have(kind: Any) -> None:
    key = new_key(kind, "nitrotpm key")
    document = decode(MACHINE.parts(DIGEST, public_key=point(key))).document
    assert attestation_key(document) == key.public_key()


@given(st.binary(min_size=1, max_size=120) | st.binary(min_size=64, max_size=64).map(lambda raw: b"\x04" + raw))
def test_any_bytes_as_a_key_are_read_or_refused(raw: bytes) -> None:
    document = replace(decode(good()).document, public_key=raw)
    with contextlib.suppress(Failed):
        assert isinstance(attestation_key(document), rsa.RSAPublicKey | ec.EllipticCurvePublicKey)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Firmware, {"pcrs": {"0": "0" * 96}}),
        (Firmware, {"pcrs": {"8": "1" * 96}}),
        (Firmware, {"pcrs": {"0": "1" * 64}}),
        (Workload, {"pcrs": {"16": "1" * 96}}),
        (Workload, {"pcrs": {"4": "0" * 96}}),
        (Workload, {"pcrs": {}}),
        (Config, {"extended": {"digest": "1" * 64}}),
        (Config, {"extended": {"digest": "1" * 96, "pcr": 16}}),
        (Config, {"extended": {"digest": "1" * 96, "pcr": 7}}),
    ],
)
def test_identities_that_would_check_nothing_are_refused(model: type[Any], values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(values)
    assert Config.model_validate({"extended": {"digest": CONFIG.hex()}}).extended.pcr == 15  # type: ignore[union-attr]


def _files(policy: dict[str, Any] | None = None, **changes: bytes | None) -> CaseFiles:
    names = {
        "attestation.cbor": good()["attestation"],
        "tpm_quote.msg": good()["quote"],
        "tpm_quote.sig.tpmt": good()["quote_sig"],
        "pcrs.json": good()["pcrs"],
        "eventlog.bin": good()["eventlog"],
        "README.txt": b"",
    }
    evidence = {n: d for n, d in {**names, **changes}.items() if d is not None}
    return CaseFiles("aws-nitrotpm", evidence, {}, policy or {}, NOW)


def test_a_cases_claims_are_read_from_its_files() -> None:
    claims = CASE.claims(_files())
    assert claims["nitrotpm_pcrs"] == {str(i): v.hex() for i, v in MACHINE.pcrs.items()}
    assert claims["tpm"]["extra_data"] == DIGEST.short.hex()
    assert claims["tpm_signature_checked"] is True
    assert claims["log"]["secure_boot"] == "on"
    json.dumps(claims)
    assert set(claims) <= set(CASE.words)
    assert {f"tpm.{name}" for name in claims["tpm"]} <= set(CASE.words)
    other = ForgedNitroTpm(now=NOW, label="another").quote(DIGEST.short)[1]
    assert CASE.claims(_files(**{"tpm_quote.sig.tpmt": other}))["tpm_signature_checked"] is False


@pytest.mark.parametrize("name", ["attestation.cbor", "tpm_quote.msg", "tpm_quote.sig.tpmt"])
def test_a_case_without_a_file_is_a_usage_error(name: str) -> None:
    with pytest.raises(CaseError):
        CASE.claims(_files(**{name: None}))


def test_a_case_says_what_a_document_holds_even_where_it_is_refused() -> None:
    files = _files(**{"attestation.cbor": good()["attestation"] + b"\x00"})
    with pytest.raises(MalformedEvidence):
        CASE.claims(files)
    assert CASE.fallback_claims(files)["module_id"] == MACHINE.nitro.module
    assert CASE.fallback_claims(_files(**{"attestation.cbor": b"\xff"})) == {}


def test_a_case_is_judged_under_the_pinned_root_alone() -> None:
    with pytest.raises(EvidenceRejected, match=r"aws-nitrotpm\.chain\.root"):
        CASE.judge(_files())


@pytest.mark.parametrize("policy", [{"allow_debug": 1}, {"nonce": "no hex"}])
def test_a_policy_of_the_wrong_type_is_a_usage_error(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        CASE.judge(_files(policy))


def test_every_check_and_rule_has_a_remedy() -> None:
    for each in (*SCHEME.verification.checks, *SCHEME.appraisal.rules):
        assert remedy_of(each.id), each.id
