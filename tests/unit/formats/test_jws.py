"""Compact JWS: taken apart strictly, and signed and verified as PyJWT does."""

from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from verifier.formats import jws
from verifier.formats.encoding import b64url

KEYS: dict[str, jws.PrivateKey] = {
    "EdDSA": ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))),
    "ES256": ec.derive_private_key(7, ec.SECP256R1()),
}
HEADER = {"alg": "ES256", "typ": "t"}


def compact(header: bytes = json.dumps(HEADER).encode(), payload: bytes = b"p", signature: bytes = b"s") -> bytes:
    return b".".join(b64url(part).encode() for part in (header, payload, signature))


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_a_compact_jws_is_read_as_it_is_written(payload: bytes, signature: bytes) -> None:
    data = compact(payload=payload, signature=signature)
    assert jws.split(data) == jws.CompactJws(HEADER, payload, signature, data.rpartition(b".")[0])


@pytest.mark.parametrize("value", [[], "text", 1, None, {}])
def test_a_header_of_any_type_is_the_callers_to_judge(value: object) -> None:
    assert jws.split(compact(json.dumps(value).encode())).header == value


@pytest.mark.parametrize(
    "data",
    [
        b"", b".", b"..", b"a.b", compact() + b".", compact() + b".e30", b"." + compact(), compact()[:-1] + b"=",
        compact() + b"\n", b" " + compact(), compact().replace(b".", b"..", 1), compact() + b"+", compact() + "é".encode(),
        compact(b""), compact(b"{"), compact(b"\xff"), compact(b'{"alg":"ES256","alg":"none"}'), compact(b'{"a":NaN}'),
        compact(b"[" * 50_000), compact(json.dumps(HEADER).encode("utf-16")),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        jws.split(data)


@pytest.mark.parametrize("name", KEYS)
def test_signatures_are_those_of_pyjwt_both_ways(name: str) -> None:
    key = KEYS[name]
    theirs = jws.split(jwt.encode({"a": 1}, key, algorithm=name).encode())
    assert theirs.header["alg"] == jws.algorithm_of(key) == jws.algorithm_of(key.public_key()) == name
    assert jws.is_signed(key.public_key(), theirs.signature, theirs.signing_input)
    ours = theirs.signing_input + b"." + b64url(jws.sign(key, theirs.signing_input)).encode()
    assert jwt.decode(ours, key.public_key(), algorithms=[name]) == {"a": 1}


@pytest.mark.parametrize("name", KEYS)
def test_a_signature_counts_for_its_own_key_and_bytes(name: str) -> None:
    key = KEYS[name]
    signature = jws.sign(key, b"input")
    assert jws.is_signed(key.public_key(), signature, b"input")
    assert not jws.is_signed(key.public_key(), signature, b"Input")
    assert not jws.is_signed(key.public_key(), signature[:-1], b"input")
    assert not jws.is_signed(key.public_key(), signature + b"\0", b"input")
    assert not jws.is_signed(key.public_key(), b"", b"input")
    for other in KEYS.values():
        assert jws.is_signed(other.public_key(), signature, b"input") is (other is key)


def test_keys_of_other_curves_have_no_algorithm_here() -> None:
    other = ec.derive_private_key(7, ec.SECP384R1())
    for key in (other, other.public_key()):
        with pytest.raises(ValueError, match=r"^curve: got secp384r1, want Ed25519 or P-256$"):
            jws.algorithm_of(key)
    with pytest.raises(ValueError, match=r"^key: got secp384r1"):
        jws.sign(other, b"input")
    assert not jws.is_signed(other.public_key(), bytes(96), b"input")
