"""What is particular to Arm CCA: the published test keys, forms of the realm's key, cases, instances, round trips."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from forge.arm_cca import ForgedArm, cose_key, published_cpak, published_rak, raw_point, sign1
from forge.certificates import spki
from tests.support.parts import published_evidence
from tests.support.vectors import run_vector, verify_vector
from tests.vectors.arm_cca.recipes import ARM, DATA, NEWER, NOW, OTHER, P256, vector
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.arm_cca import CASE
from verifier.cases.words import words_of
from verifier.formats import cbor
from verifier.formats.errors import CannotDecide, EvidenceRejected, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509chain import ChainCache
from verifier.tee.arm_cca import layout
from verifier.tee.arm_cca.decode import CcaToken, decode, encode
from verifier.tee.arm_cca.scheme import SCHEME
from verifier.tee.arm_cca.verify import TEST_CPAKS, TEST_RAKS, CcaCollateral, collate
from verifier.tee.scheme import Subject
from verifier.tee.verified import UnsafeUnbound, run_checks


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    body = base64.encodebytes(spki(key.public_key()))
    return b"-----BEGIN PUBLIC KEY-----\n" + body + b"-----END PUBLIC KEY-----\n"


def case(arm: ForgedArm = ARM, policy: dict[str, Any] | None = None, **changed: bytes | None) -> CaseFiles:
    files: dict[str, bytes | None] = {"cca_token": arm.token(challenge=DATA), "cpak_pub": pem_of(arm.cpak), **changed}
    suffixes = {"cca_token": "cbor", "cpak_pub": "pem"}
    named = {f"{stem}.{suffixes[stem]}": data for stem, data in files.items() if data is not None}
    token = {name: data for name, data in named.items() if name.startswith("cca")}
    return CaseFiles("arm-cca", token, {n: d for n, d in named.items() if n not in token}, policy or {}, NOW)


def _published() -> tuple[bytes, CcaToken]:
    """Return the platform's key and the token of the published case."""
    folder = published_evidence() / "arm-cca" / "tf-rmm-token-veraison"
    (key,) = pem_blocks((folder / "cpak_pub.pem").read_bytes(), "PUBLIC KEY")
    return key, decode({"cca_token": (folder / "cca_token.cbor").read_bytes()})


def test_the_published_keys_are_the_ones_that_every_public_token_is_made_with() -> None:
    key, token = _published()
    assert hashlib.sha256(key).digest() in TEST_CPAKS
    rak = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), token.realm.point)
    assert hashlib.sha256(spki(rak)).digest() in TEST_RAKS


def test_a_public_token_is_refused_by_a_service_even_when_somebody_endorsed_its_key() -> None:
    """The token and key of the published case, under an operator's certificate for exactly that key."""
    key, token = _published()
    arm = ForgedArm(now=NOW)
    arm.implementation_id, arm.instance_id = token.platform.implementation_id, token.platform.instance_id
    endorsed = collate(token, {"cpak": arm.certificate(public_key=key)})
    subject = Subject(token, endorsed, (arm.anchor(),), NOW, ChainCache())
    with pytest.raises(EvidenceRejected) as caught:
        run_checks(SCHEME, subject, UnsafeUnbound())
    assert caught.value.check_id == "arm-cca.platform.test-key"


def test_the_forged_stand_ins_are_listed_beside_the_published_keys() -> None:
    assert hashlib.sha256(spki(published_cpak().public_key())).digest() in TEST_CPAKS
    assert hashlib.sha256(spki(published_rak().public_key())).digest() in TEST_RAKS
    assert len(TEST_CPAKS) == len(TEST_RAKS) == 2


@pytest.mark.parametrize("arm", [ARM, NEWER, P256])
def test_a_key_reads_alike_in_both_of_its_forms(arm: ForgedArm) -> None:
    token = decode({"cca_token": arm.token(challenge=DATA)})
    assert token.realm.point == raw_point(arm.rak)
    assert token.realm.curve == arm.rak.curve.name
    assert token.realm.public_key == (cose_key(arm.rak) if arm.newer else raw_point(arm.rak))


@given(
    st.dictionaries(
        st.integers(50_000, 60_000), st.one_of(st.integers(-5, 5), st.binary(max_size=9), st.text(max_size=9))
    ),
    st.integers(0, 0xFFFF),
    st.sampled_from((layout.TAG_TOKEN, layout.TAG_COLLECTION)),
    st.sampled_from((32, 48, 64)),
)
def test_any_claims_come_back(other: dict[int, Any], lifecycle: int, tag: int, size: int) -> None:
    realm = {**other, 44238: bytes(size), 44239: [bytes(size)] * 4}
    data = P256.token(challenge=DATA, platform={**other, 2395: lifecycle}, realm=realm, tag=tag)
    token = decode({"cca_token": data})
    assert encode(token) == {"cca_token": data}
    assert dict(token.platform.other) == dict(token.realm.other) == other
    assert token.platform.lifecycle == lifecycle
    assert json.dumps(SCHEME.form.claims(token))


def test_the_forged_certificate_is_what_another_library_reads() -> None:
    root, cpak = (x509.load_der_x509_certificate(der) for der in (ARM.root(), ARM.certificate()))
    cpak.verify_directly_issued_by(root)
    names = cpak.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"arm-cca:{ARM.implementation_id.hex()}/{ARM.instance_id.hex()}"
    ]


def test_there_is_no_vendor_to_trust() -> None:
    assert SCHEME.verification.anchors == ()
    assert verify_vector(vector("one"), SCHEME).root == "simulated"


def test_instances_are_chips() -> None:
    one, other = (verify_vector(vector(arm.instance_id.hex(), arm=arm), SCHEME) for arm in (ARM, OTHER))
    assert SCHEME.token.instance(one) != SCHEME.token.instance(other)
    assert SCHEME.token.instance(one)[1] == f"{ARM.implementation_id.hex()}-{ARM.instance_id.hex()}"


def test_an_unsecured_platform_counts_as_debug() -> None:
    secured, debug = (decode({"cca_token": ARM.token(challenge=DATA, platform={2395: v})}) for v in (0x30FF, 0x4000))
    assert SCHEME.token.debug_status(secured) == "disabled-since-boot"
    assert SCHEME.token.debug_status(debug) == "enabled"


def test_a_case_gives_its_own_anchor_and_no_test_key_is_refused_there() -> None:
    for arm in (ARM, NEWER, ForgedArm(now=NOW, cpak=published_cpak(), rak=published_rak())):
        verdict = CASE.judge(case(arm))
        assert (verdict.root, verdict.anchor) == ("case-given", "case-given")
        assert all(finding.ok for finding in verdict.findings)


@pytest.mark.parametrize(
    ("files", "check_id"),
    [
        (lambda: case(cpak_pub=pem_of(OTHER.cpak)), "arm-cca.platform.signature"),
        (lambda: case(cpak_pub=pem_of(published_cpak())), "arm-cca.platform.signature"),
        (lambda: case(policy={"nonce": "00" * 64}), "binding.user-data"),
        (lambda: case(policy={"nonce": ""}), "binding.user-data"),
        (lambda: case(cca_token=ARM.token(challenge=DATA, realm={44237: raw_point(OTHER.rak)})), "arm-cca.binding"),
    ],
    ids=["another-chips-key", "the-published-key", "another-nonce", "no-nonce", "another-realms-key"],
)
def test_a_case_is_refused_by_the_same_checks(files: Callable[[], CaseFiles], check_id: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        CASE.judge(files())
    assert caught.value.check_id == check_id


def test_a_case_of_an_unsecured_platform_fails_the_rule() -> None:
    verdict = CASE.judge(case(cca_token=ARM.token(challenge=DATA, platform={2395: 0x2003})))
    assert [(f.rule, f.ok) for f in verdict.findings] == [("arm-cca.platform.lifecycle", False)]
    assert "0x2003 (provisioning)" in verdict.findings[0].detail


def test_a_case_may_hold_the_key_as_der() -> None:
    assert CASE.judge(case(cpak_pub=spki(ARM.cpak.public_key()))).root == "case-given"


@pytest.mark.parametrize("key", [None, b""])
def test_a_case_without_its_key_cannot_be_decided(key: bytes | None) -> None:
    with pytest.raises(CannotDecide) as caught:
        CASE.judge(case(cpak_pub=key))
    assert caught.value.check_id == "arm-cca.endorsement.cpak"


@pytest.mark.parametrize(
    "key", [b"\x30\x00", b"-----BEGIN PUBLIC KEY-----\nAA", b"-----BEGIN X-----\n-----END X-----\n"]
)
def test_a_key_that_cannot_be_read_is_malformed(key: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        CASE.judge(case(cpak_pub=key))
    assert caught.value.check_id == "arm-cca.endorsement.cpak"


@pytest.mark.parametrize("policy", [{"nonce": 7}, {"nonce": "x"}, {"allow_debug": True}])
def test_a_wrong_policy_of_a_case_is_a_usage_error(policy: dict[str, Any]) -> None:
    with pytest.raises(CaseError):
        CASE.judge(case(policy=policy))


def test_every_claim_has_its_words() -> None:
    for arm in (ARM, NEWER):
        claims = SCHEME.form.claims(decode({"cca_token": arm.token(challenge=DATA)}))
        names = {*claims, *(f"{token}.{number}" for token in ("platform", "realm") for number in claims[token])}
        assert not names - words_of("arm_cca").keys()


def test_the_collection_has_one_form() -> None:
    """What stands outside the signatures could be written in many ways; one of them is taken."""
    tokens = decode({"cca_token": P256.token(challenge=DATA)})
    good = encode(tokens)["cca_token"]
    long_key = good.replace(b"\x19\xac\xca", b"\x1a\x00\x00\xac\xca", 1)
    assert run_vector(vector("long", arm=P256, token=long_key), SCHEME) == ("malformed", layout.DECODE_ID)
    # Inside the signatures the bytes count as they stand.
    payload = cbor.encode(P256.realm_claims(DATA), indefinite=True)
    indefinite = layout.encode_token(tokens.platform.sign1.raw, sign1(P256.rak, payload))
    assert run_vector(vector("indefinite", arm=P256, token=indefinite), SCHEME) == ("accepted", "")


def test_an_empty_collateral_is_undecided_and_not_a_case() -> None:
    token = decode({"cca_token": ARM.token(challenge=DATA)})
    subject = Subject(token, CcaCollateral(), (ARM.anchor(),), NOW, ChainCache())
    with pytest.raises(CannotDecide):
        run_checks(SCHEME, subject, UnsafeUnbound())
