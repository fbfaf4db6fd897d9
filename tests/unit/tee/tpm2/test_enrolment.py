"""Which EK may vouch for which AK: every refusal by its own id, and a credential only the right pair opens."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.tpm2 import (
    EK_ATTRIBUTES,
    EkCa,
    SimulatedTpm,
    ak_public,
    ek_public,
    make_ca,
    make_tpm,
    new_key,
)
from tests.support.sources import ROOT
from verifier.formats.errors import BridgeError, EvidenceRejected, MalformedEvidence
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.catalogue import listed
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384
from verifier.tee.tpm2 import layout
from verifier.tee.tpm2.enrolment import check_ak, check_ek, describe_ek, make_credential
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.tee.tpm2.roca import is_roca

NOW = 1_767_225_600
SECRET = bytes(range(32))
TPM = make_tpm()


def random(size: int) -> bytes:
    return bytes((7 * i + 1) % 256 for i in range(size))


def anchors(ca: EkCa | None = None) -> tuple[Anchor, ...]:
    return (Anchor("test", (ca or make_ca()).root_der, "private"),)


def refused(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(BridgeError) as error:
        call()
    return error.value.outcome, error.value.check_id


def judge(
    tpm: SimulatedTpm = TPM,
    *,
    chain: tuple[bytes, ...] | None = None,
    public: bytes | None = None,
    ca: EkCa | None = None,
    now: int = NOW,
) -> object:
    return check_ek(tpm.ek_chain if chain is None else chain, public or tpm.ek_public, anchors(ca), now, ChainCache())


@pytest.mark.parametrize("kind", ["ecc", "ecc-p384", "rsa"])
@pytest.mark.parametrize("intermediate", [False, True], ids=["root", "issuing-ca"])
def test_a_sound_ek_is_accepted_and_named(kind: str, intermediate: bool) -> None:  # noqa: FBT001
    ca = make_ca("vendor", intermediate=intermediate)
    tpm = make_tpm(ek_kind=kind, ca=ca)  # type: ignore[arg-type]
    found = check_ek(tpm.ek_chain, tpm.ek_public, anchors(ca), NOW, ChainCache())
    assert found.digest == tpm.ek_digest
    assert found == describe_ek(tpm.ek_public)
    assert found.name == layout.name_of(tpm.ek_area)


def _crl(*serials: int, days: int = 30, label: str = "vendor") -> bytes:
    """Make a CRL of the root of a label, DER, good for ``days`` from two days before ``NOW``."""
    start = dt.datetime.fromtimestamp(NOW, dt.UTC) - dt.timedelta(days=2)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.load_der_x509_certificate(make_ca("vendor").root_der).subject)
        .last_update(start)
        .next_update(start + dt.timedelta(days=days))
        .add_extension(x509.CRLNumber(1), critical=False)
    )
    for serial in serials:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(start).build()
        builder = builder.add_revoked_certificate(one)
    return builder.sign(make_ca(label).key, hashes.SHA256()).public_bytes(Encoding.DER)


def _judge_with_crl(crl: bytes, *, intermediate: bool = False) -> object:
    ca = make_ca("vendor", intermediate=intermediate)
    tpm = make_tpm(ca=ca)
    anchor = Anchor("test", ca.root_der, "private", crl)
    return check_ek(tpm.ek_chain, tpm.ek_public, (anchor,), NOW, ChainCache())


def _serial(*, intermediate: bool) -> int:
    return x509.load_der_x509_certificate(
        make_tpm(ca=make_ca("vendor", intermediate=intermediate)).ek_chain[-1]
    ).serial_number


@pytest.mark.parametrize("intermediate", [False, True], ids=["root", "issuing-ca"])
def test_where_the_anchor_has_a_crl_what_it_revokes_is_refused(*, intermediate: bool) -> None:
    serial = _serial(intermediate=intermediate)
    assert _judge_with_crl(_crl(serial + 1), intermediate=intermediate)
    call = lambda: _judge_with_crl(_crl(serial), intermediate=intermediate)  # noqa: E731
    assert refused(call) == ("rejected", "tpm2.enrolment.ek-revoked")


@pytest.mark.parametrize("crl", [_crl(days=1), _crl(label="another root")], ids=["stale", "signed-by-another"])
def test_where_the_anchor_has_a_crl_nothing_is_decided_without_a_good_one(crl: bytes) -> None:
    assert refused(lambda: _judge_with_crl(crl)) == ("cannot-decide", "tpm2.enrolment.ek-crl")


def _changed(change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder]) -> tuple[bytes, ...]:
    return (make_ca().certify(TPM.ek.public_key(), change=change),)


def _unknown_extension(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), critical=True)


OTHER = make_tpm(label="other")
SAME_NAME = make_ca("another root of the same name")

CHAINS = {
    "no-certificate": ((), "malformed", "tpm2.enrolment.ek-chain"),
    "no-certificate-but-bytes": ((b"x",), "malformed", "tpm2.enrolment.ek-chain"),
    "certificate-cut": ((TPM.ek_chain[0][:-1],), "malformed", "tpm2.enrolment.ek-chain"),
    "root-of-another-name": (
        (make_ca("x", name="another root").certify(TPM.ek.public_key()),),
        "rejected",
        "tpm2.enrolment.ek-root",
    ),
    "root-of-the-same-name": (
        (SAME_NAME.certify(TPM.ek.public_key()),),
        "rejected",
        "tpm2.enrolment.ek-signature",
    ),
    "root-brought-along": (
        (SAME_NAME.certify(TPM.ek.public_key()), SAME_NAME.root_der),
        "rejected",
        "tpm2.enrolment.ek-root",
    ),
    "critical-extension-unknown": (_changed(_unknown_extension), "rejected", "tpm2.enrolment.ek-constraints"),
    "certificate-of-a-ca": (
        (make_ca().certify(TPM.ek.public_key(), is_ca=True),),
        "rejected",
        "tpm2.enrolment.ek-usage",
    ),
    "certificate-for-a-web-server": (
        (make_ca().certify(TPM.ek.public_key(), purpose=ExtendedKeyUsageOID.SERVER_AUTH),),
        "rejected",
        "tpm2.enrolment.ek-usage",
    ),
    "certificate-of-another-tpm": (OTHER.ek_chain, "rejected", "tpm2.enrolment.ek-key"),
    "certificate-expired": (
        (make_ca().certify(TPM.ek.public_key(), not_after=dt.datetime(2021, 1, 1, tzinfo=dt.UTC)),),
        "rejected",
        "tpm2.enrolment.ek-validity",
    ),
}


@pytest.mark.parametrize(("chain", "outcome", "check_id"), CHAINS.values(), ids=CHAINS.keys())
def test_a_chain_that_does_not_hold_is_refused(chain: tuple[bytes, ...], outcome: str, check_id: str) -> None:
    assert refused(lambda: judge(chain=chain)) == (outcome, check_id)


def test_no_anchor_trusts_nobody() -> None:
    call = lambda: check_ek(TPM.ek_chain, TPM.ek_public, (), NOW, ChainCache())  # noqa: E731
    assert refused(call) == ("rejected", "tpm2.enrolment.ek-root")


@pytest.mark.parametrize(
    "bit",
    [
        layout.RESTRICTED,
        layout.DECRYPT,
        layout.FIXED_TPM,
        layout.FIXED_PARENT,
        layout.SENSITIVE_DATA_ORIGIN,
        layout.ADMIN_WITH_POLICY,
    ],
)
def test_an_ek_without_one_of_its_attributes_is_refused(bit: int) -> None:
    public = layout.encode_public(ek_public(TPM.ek, attributes=EK_ATTRIBUTES & ~bit))
    assert refused(lambda: judge(public=public)) == ("rejected", "tpm2.enrolment.ek-attributes")


def test_an_ek_that_signs_is_refused() -> None:
    public = layout.encode_public(ek_public(TPM.ek, attributes=EK_ATTRIBUTES | layout.SIGN))
    assert refused(lambda: judge(public=public)) == ("rejected", "tpm2.enrolment.ek-attributes")


def _roca_modulus(bits: int = 2048) -> int:
    """Build a number with the broken generator's form; whether it has two prime factors does not matter here."""
    primes = [p for p in range(3, 168) if all(p % d for d in range(2, p))]
    modulus = 1
    for prime in primes:
        modulus *= prime
    size = bits - modulus.bit_length() - 1
    k = (1 << size) | 5
    value = k * modulus + pow(65537, 12345, modulus)
    value += modulus * (1 - value % 2)
    while value.bit_length() < bits:
        value += modulus << (bits - 1 - modulus.bit_length())
    return value


def test_a_roca_key_is_refused_and_sound_ones_are_not() -> None:
    modulus = _roca_modulus()
    assert modulus.bit_length() == 2048
    assert modulus % 2 == 1
    public = rsa.RSAPublicNumbers(65537, modulus).public_key()
    area = replace(
        ek_public(new_key("rsa")), type=layout.ALG_RSA, unique=(modulus.to_bytes(256, "big"),), bits=2048, curve=0
    )
    chain = (make_ca().certify(public),)
    assert refused(lambda: judge(chain=chain, public=layout.encode_public(area))) == (
        "rejected",
        "tpm2.enrolment.ek-roca",
    )
    assert not any(is_roca(new_key("rsa").public_key().public_numbers().n) for _ in range(3))  # type: ignore[union-attr]


@given(st.integers(min_value=1 << 2047, max_value=(1 << 2048) - 1))
def test_a_random_modulus_carries_no_fingerprint(modulus: int) -> None:
    assert not is_roca(modulus | 1)


AK_FAULTS = {
    "not-restricted": {"attributes": TPM.ak_area.attributes & ~layout.RESTRICTED},
    "does-not-sign": {"attributes": TPM.ak_area.attributes & ~layout.SIGN},
    "decrypts": {"attributes": TPM.ak_area.attributes | layout.DECRYPT},
    "may-leave-its-tpm": {"attributes": TPM.ak_area.attributes & ~layout.FIXED_TPM},
    "may-change-its-parent": {"attributes": TPM.ak_area.attributes & ~layout.FIXED_PARENT},
    "born-elsewhere": {"attributes": TPM.ak_area.attributes & ~layout.SENSITIVE_DATA_ORIGIN},
    "no-scheme": {"scheme": None},
    "signs-with-sha1": {"scheme": (layout.ALG_ECDSA, SHA1.id)},
    "named-by-sha1": {"name_algorithm": SHA1.id},
}


@pytest.mark.parametrize("fields", AK_FAULTS.values(), ids=AK_FAULTS.keys())
def test_an_ak_that_could_sign_a_forged_quote_is_refused(fields: dict[str, object]) -> None:
    public = layout.encode_public(replace(TPM.ak_area, **fields))  # type: ignore[arg-type]
    assert refused(lambda: check_ak(public)) == ("rejected", "tpm2.enrolment.ak-attributes")


@pytest.mark.parametrize("kind", ["ecc", "ecc-p384", "rsa"])
def test_an_ak_is_named_by_its_public_area(kind: str) -> None:
    key = new_key(kind)  # type: ignore[arg-type]
    area = ak_public(key)
    assert check_ak(layout.encode_public(area)).name == layout.name_of(area)


BAD_PUBLICS = {
    "empty": b"",
    "cut": TPM.ak_public[:-1],
    "trailing-byte": TPM.ak_public + b"\0",
    "point-off-the-curve": layout.encode_public(replace(TPM.ak_area, unique=(bytes(32), bytes(32)))),
    "curve-unknown": layout.encode_public(replace(TPM.ak_area, curve=0x20)),
    "keyed-hash": b"\x00\x08" + TPM.ak_public[2:],
}


@pytest.mark.parametrize("public", BAD_PUBLICS.values(), ids=BAD_PUBLICS.keys())
def test_a_public_area_that_is_none_is_malformed(public: bytes) -> None:
    assert refused(lambda: check_ak(public)) == ("malformed", "tpm2.enrolment.ak-public")
    assert refused(lambda: describe_ek(public)) == ("malformed", "tpm2.enrolment.ek-public")
    assert refused(lambda: judge(public=public or b"\0")) == ("malformed", "tpm2.enrolment.ek-public")


@pytest.mark.parametrize("kind", ["ecc", "ecc-p384", "rsa"])
def test_a_credential_opens_for_the_right_pair_only(kind: str) -> None:
    tpm = make_tpm(ek_kind=kind)  # type: ignore[arg-type]
    blob, encrypted = make_credential(tpm.ek_public, tpm.ak_name, SECRET, random)
    assert tpm.activate(blob, encrypted) == SECRET
    with pytest.raises(ValueError, match="integrity"):
        replace(tpm, ak_area=OTHER.ak_area).activate(blob, encrypted)
    with pytest.raises(ValueError, match="integrity"):
        tpm.activate(blob[:-1] + bytes((blob[-1] ^ 1,)), encrypted)


EK_FAULTS: dict[str, Callable[[layout.Public], layout.Public]] = {
    "no-symmetric": lambda area: replace(area, symmetric=None),
    "aes-ctr": lambda area: replace(area, symmetric=(layout.ALG_AES, 128, 0x40)),
    "aes-0": lambda area: replace(area, symmetric=(layout.ALG_AES, 0, layout.ALG_CFB)),
    "sha1": lambda area: replace(area, name_algorithm=SHA1.id),
}


@pytest.mark.parametrize("change", EK_FAULTS.values(), ids=EK_FAULTS.keys())
def test_an_ek_that_cannot_protect_a_credential_is_refused(change: Callable[[layout.Public], layout.Public]) -> None:
    public = layout.encode_public(change(TPM.ek_area))
    call = lambda: make_credential(public, TPM.ak_name, SECRET, random)  # noqa: E731
    assert refused(call) == ("rejected", "tpm2.enrolment.ek-public")


def test_a_secret_longer_than_the_hash_is_a_programmers_error() -> None:
    with pytest.raises(ValueError, match="33 bytes"):
        make_credential(TPM.ek_public, TPM.ak_name, bytes(33), random)
    assert ek_public(TPM.ek, name_algorithm=SHA384.id).symmetric == (layout.ALG_AES, 256, layout.ALG_CFB)
    assert TPM.ek_area.name_algorithm == SHA256.id


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_whatever_the_bytes_a_public_area_is_malformed_or_read(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence, EvidenceRejected):
        check_ak(data)


def test_every_enrolment_id_has_its_line_in_the_docs() -> None:
    text = (ROOT / "docs" / "tee" / "tpm2.md").read_text(encoding="utf-8")
    ids = {one.id for one in listed("tpm2")}
    assert ids >= set(EnrolmentId)
    assert not sorted(i for i in ids if f"`{i}`" not in text)
