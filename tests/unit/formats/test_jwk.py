"""Public keys as JWKs: exactly the required members in their one form, and the hand-written thumbprint beside jwcrypto's."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifier.formats import encoding
from verifier.formats.encoding import b64url
from verifier.formats.jose import p256_public_key
from verifier.formats.jwk import PublicKey, public_jwk, public_key, thumbprint

P256 = ec.generate_private_key(ec.SECP256R1()).public_key()
KEYS: dict[str, PublicKey] = {
    "P-256": P256,
    "P-384": ec.generate_private_key(ec.SECP384R1()).public_key(),
    "Ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
    "RSA": rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
}
# RFC 7638 section 3.1.
RFC_7638 = {
    "kty": "RSA",
    "n": (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
        "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5haj"
        "rn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    ),
    "e": "AQAB",
}


def der(key: PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_comes_back_from_its_jwk(name: str) -> None:
    jwk = public_jwk(KEYS[name])
    assert der(public_key(jwk)) == der(KEYS[name])
    assert jwk.get("crv", jwk["kty"]) == name


@pytest.mark.parametrize("name", KEYS)
def test_both_thumbprints_are_equal(name: str) -> None:
    jwk = public_jwk(KEYS[name])
    assert b64url(encoding.jwk_thumbprint(jwk)) == thumbprint(jwk)


def test_the_thumbprint_is_rfc_7638s() -> None:
    assert thumbprint(RFC_7638) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_both_readings_of_a_p_256_key_agree() -> None:
    jwk = public_jwk(P256)
    assert der(p256_public_key(jwk)) == der(public_key(jwk)) == der(P256)


@pytest.mark.parametrize(
    "change",
    [
        {"d": b64url(bytes(31) + b"\x01")},
        {"kid": "mine"},
        {"generate": "EC"},
        {"kty": "OKP"},
        {"kty": "oct"},
        {"kty": None},
        {"kty": ["EC"]},
        {"crv": "P-384"},
        {"crv": "Ed25519"},
        {"crv": "secp256k1"},
        {"x": b64url(bytes(32))},
        {"x": ""},
        {"x": 3},
        {"x": public_jwk(P256)["x"] + "="},
        {"x": b64url(b"\x00" + encoding.unb64url(public_jwk(P256)["x"]))},
        {"y": "ä" * 43},
    ],
)
def test_what_is_not_exactly_a_public_key_is_no_key(change: dict[str, Any]) -> None:
    jwk: dict[str, Any] = {**public_jwk(P256), **change}
    for read in (public_key, thumbprint, p256_public_key):
        with pytest.raises(ValueError):  # noqa: PT011 - each reader has words of its own
            read(jwk)


@pytest.mark.parametrize("lacking", ["kty", "crv", "x", "y"])
def test_a_jwk_that_lacks_a_member_is_no_key(lacking: str) -> None:
    jwk = public_jwk(P256)
    del jwk[lacking]
    with pytest.raises(ValueError, match="required members alone"):
        public_key(jwk)


def test_a_key_of_another_kind_has_no_jwk() -> None:
    other: Any = dsa.generate_private_key(2048)
    with pytest.raises(ValueError, match=r"^key: got a DSAPrivateKey"):
        public_jwk(other)


def test_jwcrypto_is_loaded_when_it_is_asked_for() -> None:
    code = "import sys, verifier.formats.jwk; print('jwcrypto' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.strip() == "False"
