"""COSE_Sign1: the signature counts over the bytes as received, with the algorithm that is inside it."""

from __future__ import annotations

import contextlib
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from forge.cose import raw_signature, sign1
from forge.rsakey import derived_rsa_key
from verifier.formats import cbor
from verifier.formats.cose import (
    ALGORITHMS,
    ES256,
    ES384,
    ES512,
    decode_sign1,
    encode_sign1,
    to_be_signed,
    verify_sign1,
)
from verifier.formats.errors import EvidenceRejected, MalformedEvidence, named

CURVES: dict[int, ec.EllipticCurve] = {ES256: ec.SECP256R1(), ES384: ec.SECP384R1(), ES512: ec.SECP521R1()}
KEYS = {alg: ec.derive_private_key(1000 - alg, curve) for alg, curve in CURVES.items()}
P384 = KEYS[ES384]
PAYLOAD = b"\xbf\x01\x02\xff"
GOOD = sign1(PAYLOAD, P384)
WHERE = ("t.decode", "thing")


def verify(data: bytes, key: Any = None, **options: Any) -> None:
    with named("t.signature"):
        verify_sign1(decode_sign1(data, *WHERE), P384.public_key() if key is None else key, **options)


@pytest.mark.parametrize("alg", sorted(CURVES))
@pytest.mark.parametrize("tagged", [False, True])
def test_each_algorithm_verifies_with_its_curve_alone(alg: int, tagged: bool) -> None:  # noqa: FBT001
    data = sign1(PAYLOAD, KEYS[alg], alg=alg, tagged=tagged)
    read = decode_sign1(data, *WHERE)
    assert (read.alg, read.tagged, read.payload, read.raw) == (alg, tagged, PAYLOAD, data)
    assert encode_sign1(read.protected, read.unprotected, read.payload, read.signature, tagged=tagged) == data
    for other, key in KEYS.items():
        if other == alg:
            verify(data, key.public_key())
        else:
            with pytest.raises(EvidenceRejected, match=r"t\.signature"):
                verify(data, key.public_key())


def test_the_sig_structure_is_the_rfcs() -> None:
    assert to_be_signed(b"\xa0", b"pay", b"aad") == cbor2.dumps(["Signature1", b"\xa0", b"aad", b"pay"])


def test_an_example_of_the_cose_working_group_verifies() -> None:
    """cose-wg/Examples, sign1-tests/sign-pass-02 (ES256, external data 11aa22bb33cc44dd55006699)."""
    x = int("bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff", 16)
    y = int("20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e", 16)
    key = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    data = bytes.fromhex(
        "d28443a10126a10442313154546869732069732074686520636f6e74656e742e584010729cd711cb3813d8d8e944a8da7111e7b258c9bdca6135"
        "f7ae1adbee9509891267837e1e33bd36c150326ae62755c6bd8e540c3e8f92d7d225e8db72b8820b"
    )
    aad = bytes.fromhex("11aa22bb33cc44dd55006699")
    verify(data, key, external_aad=aad)
    with pytest.raises(EvidenceRejected):
        verify(data, key)


def test_every_bit_counts() -> None:
    for place in range(8 * len(GOOD)):
        bad = bytearray(GOOD)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises((MalformedEvidence, EvidenceRejected)):
            verify(bytes(bad))


def test_a_payload_written_anew_does_not_verify() -> None:
    read = decode_sign1(GOOD, *WHERE)
    again = cbor.encode(cbor.decode(read.payload, *WHERE, indefinite=True))
    assert again != read.payload
    with pytest.raises(EvidenceRejected):
        verify(encode_sign1(read.protected, {}, again, read.signature))


def test_signatures_of_odd_form_are_refused() -> None:
    read = decode_sign1(GOOD, *WHERE)
    order = int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16)
    for signature in (
        b"",
        bytes(96),
        b"\xff" * 96,
        read.signature[:-1],
        read.signature + b"\x00",
        order.to_bytes(48, "big") * 2,
        P384.sign(b"", ec.ECDSA(ALGORITHMS[ES384].hash)),
    ):
        with pytest.raises(EvidenceRejected, match=r"t\.signature"):
            verify(encode_sign1(read.protected, {}, read.payload, signature))


def test_keys_of_another_kind_and_unknown_algorithms_are_refused() -> None:
    key: rsa.RSAPrivateKey = derived_rsa_key("cose")
    with pytest.raises(EvidenceRejected):
        verify(GOOD, key.public_key())
    protected = cbor.encode({1: -37})
    signature = raw_signature(P384, to_be_signed(protected, PAYLOAD))
    with pytest.raises(EvidenceRejected, match="-37"):
        verify(encode_sign1(protected, {}, PAYLOAD, signature))


@pytest.mark.parametrize(
    "value",
    [
        [b"\xa1\x01\x26", {}, b"", b"", b""],
        [b"\xa1\x01\x26", {}, b""],
        {1: 2},
        [b"\xa1\x01\x26", {}, None, b""],  # detached
        [{1: -35}, {}, b"", b""],
        [b"\xa1\x01\x26", [], b"", b""],
        [b"\xa1\x01\x26", {}, b"", ""],
        [b"\xa1\x01\x26", {1: -35}, b"", b""],
        [b"", {1: -35}, b"", b""],
        [b"", {}, b"", b""],
        [b"\xa0", {}, b"", b""],
        [b"\x80", {}, b"", b""],
        [b"\xff", {}, b"", b""],
        [b"\xa1\x01\x65ES384", {}, b"", b""],
        [b"\xa1\x01\xf5", {}, b"", b""],
        [b"\xbf\x01\x26\xff", {}, b"", b""],
        [cbor.encode({1: -35, 2: [3]}), {}, b"", b""],
        [b"\xa1\x01\x26", {2: [3]}, b"", b""],
        [cbor.encode({1: -35, 4: b"k"}), {4: b"k"}, b"", b""],
        [b"\xa1\x01\x26\x00", {}, b"", b""],
        cbor2.CBORTag(17, [b"\xa1\x01\x26", {}, b"", b""]),
        cbor2.CBORTag(18, cbor2.CBORTag(18, [b"\xa1\x01\x26", {}, b"", b""])),
    ],
)
def test_what_is_no_cose_sign1_is_malformed(value: Any) -> None:
    with pytest.raises(MalformedEvidence, match=r"t\.decode"):
        decode_sign1(cbor.encode(value), *WHERE)


@settings(max_examples=200)
@given(st.binary(max_size=200) | st.integers(0, len(GOOD) - 1).map(lambda cut: GOOD[:cut] + b"\xff" + GOOD[cut:]))
def test_any_bytes_are_read_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        assert decode_sign1(data, *WHERE).raw == data
