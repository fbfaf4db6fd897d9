"""What is particular to NVIDIA's devices: the pinned root, the forms in which their evidence comes, identities, instances."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from forge.nvidia_gpu import ForgedNvidia
from tests.support.vectors import run_vector, verify_vector
from tests.vectors.nvidia_gpu.recipes import BLACKWELL, HOPPER, NONCE, NOW, OTHER, SWITCH, golden, vector
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.nvidia_gpu import CASE
from verifier.cases.words import words_of
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509 import common_name
from verifier.tee.nvidia_gpu import layout
from verifier.tee.nvidia_gpu.decode import Block, decode, encode, read_fwid, subject_text
from verifier.tee.nvidia_gpu.identity import FirmwareValues, GpuFirmwareValues, GpuPlatformValues, PlatformValues
from verifier.tee.nvidia_gpu.scheme import SCHEME
from verifier.tee.scheme import Matched

END_OF_TIME = 253_402_300_799


def case(evidence: dict[str, bytes], policy: dict[str, Any] | None = None) -> CaseFiles:
    return CaseFiles("nvidia-gpu", evidence, {}, policy or {}, NOW)


def test_the_built_in_root_is_nvidias() -> None:
    (anchor,) = SCHEME.verification.anchors
    certificate = anchor.certificate
    assert common_name(certificate.subject) == anchor.name == "NVIDIA Device Identity CA"
    assert anchor.root == "vendor"
    assert certificate.digest.hex() == "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48"
    spki = hashlib.sha256(certificate.spki).hexdigest()
    assert spki == "a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4"


def test_the_year_9999_is_a_time_like_any_other() -> None:
    assert SCHEME.verification.anchors[0].certificate.not_after == END_OF_TIME
    assert decode(HOPPER.parts(NONCE)).leaf.not_after == END_OF_TIME
    assert run_vector(vector("then", now=END_OF_TIME + 1), SCHEME) == ("rejected", "nvidia-gpu.chain.validity")


@pytest.mark.parametrize("gpu", [HOPPER, BLACKWELL, SWITCH])
def test_the_forged_certificates_are_what_another_library_reads(gpu: ForgedNvidia) -> None:
    read = [x509.load_der_x509_certificate(der) for der in gpu.chain()]
    for certificate, issuer in zip(read, [*read[1:], read[-1]], strict=True):
        certificate.verify_directly_issued_by(issuer)
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    leaf = decode(gpu.parts(NONCE)).leaf
    assert subject_text(leaf) == read[0].subject.rfc4514_string()
    assert read_fwid(leaf) == gpu.fwid


def test_a_subject_is_printed_as_rfc_4514_wants() -> None:
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, 'A, "B" <C>;+\\'),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, "#1"),
        ]
    )
    made = HOPPER.certificate("leaf", subject=name.public_bytes())
    chain = layout.encode_chain([made, *HOPPER.chain()[1:]])
    leaf = decode({"spdm_report": HOPPER.report(nonce=NONCE), "cert_chain": chain}).leaf
    assert subject_text(leaf) == name.rfc4514_string()


@given(
    st.lists(
        st.tuples(st.integers(1, 255), st.integers(0, 255), st.binary(max_size=80)),
        max_size=20,
        unique_by=lambda b: b[0],
    ),
    st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=80)), max_size=12, unique_by=lambda f: f[0]),
)
def test_any_blocks_and_fields_come_back(blocks: list[tuple[int, int, bytes]], opaque: list[tuple[int, bytes]]) -> None:
    rising = sorted(blocks)
    report = HOPPER.unsigned(nonce=NONCE, blocks=rising, opaque=opaque) + bytes(layout.SIGNATURE_SIZE)
    evidence = decode({"spdm_report": report, "cert_chain": HOPPER.chain_pem()})
    assert evidence.blocks == tuple(Block(*block) for block in rising)
    assert evidence.opaque == tuple(opaque)
    assert encode(evidence)["spdm_report"] == report
    assert evidence.signed == report[: -layout.SIGNATURE_SIZE]
    assert json.dumps(SCHEME.form.claims(evidence))


def _forms(report: bytes) -> dict[str, bytes]:
    text = base64.b64encode(report)
    return {
        "binary": report,
        "hex": report.hex().encode(),
        "hex-upper-in-lines": b"\n".join(
            report.hex().upper().encode()[i : i + 64] for i in range(0, 2 * len(report), 64)
        ),
        "base64": text,
        "json-text": json.dumps(text.decode()).encode(),
        "json-object": json.dumps({"nonce": "00", "evidence": text.decode()}).encode(),
        "json-of-hex": json.dumps({"evidence": base64.b64encode(report.hex().encode()).decode()}).encode(),
        "json-list": json.dumps([{"arch": "HOPPER", "evidence": text.decode()}]).encode(),
    }


# What a file holds says how it is read, and its name does not.
@pytest.mark.parametrize(
    ("form", "suffix"),
    [*((form, "bin") for form in _forms(b"")), ("binary", "txt"), ("binary", "json"), ("json-object", "txt")],
)
def test_a_case_is_read_in_every_form_that_nvidias_tools_write(form: str, suffix: str) -> None:
    report = HOPPER.report(nonce=NONCE)
    files = case({f"spdm_report.{suffix}": _forms(report)[form], "cert_chain.pem": HOPPER.chain_pem()})
    assert CASE.claims(files) == SCHEME.form.claims(decode(HOPPER.parts(NONCE)))


def test_a_case_may_hold_both_in_one_json() -> None:
    both = {
        "evidence": base64.b64encode(HOPPER.report(nonce=NONCE)).decode(),
        "certificate": base64.b64encode(HOPPER.chain_pem()).decode(),
    }
    files = case({"spdm_report.json": json.dumps([both]).encode()})
    assert CASE.claims(files)["request_nonce"] == NONCE.hex()


def test_certificates_of_a_case_may_come_in_any_order_and_with_any_line_ends() -> None:
    report = HOPPER.report(nonce=NONCE)
    want = CASE.claims(case({"spdm_report.bin": report, "cert_chain.pem": HOPPER.chain_pem()}))
    leaf, device, provisioner, product, root = HOPPER.chain()
    mixed = layout.encode_chain([product, leaf, root, device, provisioner]).replace(b"\n", b"\r\n") + b"\n\n"
    assert CASE.claims(case({"spdm_report.bin": report, "cert_chain.pem": mixed})) == want


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b'[{"evidence": 1}]', b'{"a": 1, "a": 2}', b'{"evidence": "!"}', b"[" * 99_999]
)
def test_json_that_holds_no_report_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        CASE.claims(case({"spdm_report.json": data, "cert_chain.pem": HOPPER.chain_pem()}))
    assert caught.value.check_id == "nvidia-gpu.decode.spdm_report"


@pytest.mark.parametrize("policy", [{"nonce": "xy"}, {"nonce": 7}, {"measurement": "00"}])
def test_a_wrong_policy_of_a_case_is_a_usage_error(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        CASE.judge(case({"spdm_report.bin": HOPPER.report(nonce=NONCE), "cert_chain.pem": HOPPER.chain_pem()}, policy))


@pytest.mark.parametrize("left_out", ["spdm_report.bin", "cert_chain.pem"])
def test_a_case_without_a_file_is_a_usage_error(left_out: str) -> None:
    files = {"spdm_report.bin": HOPPER.report(nonce=NONCE), "cert_chain.pem": HOPPER.chain_pem()}
    with pytest.raises(CaseError):
        CASE.claims(case({name: data for name, data in files.items() if name != left_out}))


def test_every_claim_has_its_words() -> None:
    for gpu in (HOPPER, SWITCH):
        for name in SCHEME.form.claims(decode(gpu.parts(NONCE))):
            assert words_of("nvidia_gpu")[name]


def test_an_instance_is_the_device_and_not_its_firmware() -> None:
    one = verify_vector(vector("one"), SCHEME)
    newer = ForgedNvidia()
    newer.fwid = hashlib.sha384(b"newer firmware").digest()
    newer.key = OTHER.key
    assert SCHEME.token.instance(verify_vector(vector("newer", gpu=newer), SCHEME)) == SCHEME.token.instance(one)
    assert SCHEME.token.instance(verify_vector(vector("other", gpu=OTHER), SCHEME)) != SCHEME.token.instance(one)


def test_the_measurement_covers_the_blocks_that_the_identity_judges() -> None:
    verified = verify_vector(vector("one"), SCHEME)
    names = {"measurements": golden(HOPPER, b2="any")}
    matched = (Matched("firmware", "gpu", 1, names),)
    judged = [b for b in verified.evidence.blocks if b.index in (1, 4)]
    want = hashlib.sha256(b"".join(bytes((b.index,)) + len(b.value).to_bytes(2, "big") + b.value for b in judged))
    assert SCHEME.token.measurement(verified, matched) == want.hexdigest()
    assert SCHEME.token.measurement(verified, ()) != want.hexdigest()


def test_a_bare_gpu_does_not_exclude_the_host() -> None:
    assert not SCHEME.host_excluded


@pytest.mark.parametrize(
    "values",
    [
        {"measurements": {"1": "any"}},
        {"measurements": {}},
        {"measurements": {"0": ["00" * 48]}},
        {"measurements": {"256": ["00" * 48]}},
        {"measurements": {"1": []}},
        {"measurements": {"1": ["0"]}},
        {"measurements": {"1": ["AA"]}},
        {"driver_versions": []},
    ],
)
def test_identities_that_say_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FirmwareValues.model_validate(values, strict=False)
    with pytest.raises(ValidationError):
        GpuFirmwareValues.model_validate({f"gpu_{name}": value for name, value in values.items()}, strict=False)


def test_a_machines_identities_have_the_fields_of_a_devices() -> None:
    for own, beside in ((PlatformValues, GpuPlatformValues), (FirmwareValues, GpuFirmwareValues)):
        want = {f"gpu_{name}": field.annotation for name, field in own.model_fields.items()}
        assert {name: field.annotation for name, field in beside.model_fields.items()} == want
