"""Signed documents: exactly this document, by exactly that key."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support import trust
from verifier.appraise.bundle import gather
from verifier.appraise.signatures import check_signature, public_key, read_demands, sign_document
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import ConfigError
from verifier.formats.jws import PrivateKey

ED = ed25519.Ed25519PrivateKey.generate()
P256 = ec.generate_private_key(ec.SECP256R1())
KEYS = {"ed": ED.public_key(), "p256": P256.public_key()}
DOCUMENT = trust.identity("platform", "chips", {"min_svn": 5})


def _check(document: dict[str, Any]) -> None:
    check_signature(trust.parse(document), KEYS)


@pytest.mark.parametrize(("name", "key"), [("ed", ED), ("p256", P256)])
def test_signed_document_is_taken(name: str, key: PrivateKey) -> None:
    signed = sign_document(DOCUMENT, name, key)
    assert signed["signed_by"] == name
    _check(signed)
    _check(dict(reversed(signed.items())))


@pytest.mark.parametrize(("name", "key"), [("ed", ED), ("p256", P256)])
@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"tenant": "other"},
        {"origin": "elsewhere"},
        {"values": {"min_svn": 4}},
        {"window": {"until": "2030-01-01T00:00:00Z"}},
    ],
)
def test_any_change_voids_the_signature(name: str, key: PrivateKey, change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="does not verify"):
        _check({**sign_document(DOCUMENT, name, key), **change})


def _header(signature: str, **change: Any) -> str:
    header, _, rest = signature.partition("..")
    return f"{b64url(json.dumps({**json.loads(unb64url(header)), **change}).encode())}..{rest}"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"signed_by": None}, "signed_by"),
        ({"signature": None}, "signature"),
        ({"signed_by": "stranger"}, "signed_by"),
        ({"signed_by": "p256"}, "signature"),
        ({"signature": "AAAA..AAAA"}, "signature"),
        ({"signature": _header(sign_document(DOCUMENT, "ed", ED)["signature"], alg="none")}, "signature"),
        ({"signature": _header(sign_document(DOCUMENT, "ed", ED)["signature"], crit=["b64"])}, "signature"),
        ({"signature": _header(sign_document(DOCUMENT, "ed", ED)["signature"], typ="JWT")}, "signature"),
        ({"signature": sign_document(DOCUMENT, "ed", ED)["signature"][:-4]}, "signature"),
    ],
)
def test_document_that_is_not_signed_by_the_key_it_names_is_refused(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _check({**sign_document(DOCUMENT, "ed", ED), **change})
    assert caught.value.key == key


def test_signature_is_demanded_of_the_tenants_that_demand_it_and_of_every_document() -> None:
    gather([trust.parse(DOCUMENT)], {"other": KEYS})
    for document in (DOCUMENT, trust.policy(), trust.workload()):
        with pytest.raises(ConfigError) as caught:
            gather([trust.parse(document)], {"acme": KEYS})
        assert caught.value.key == "signed_by"
        gather([trust.parse(sign_document(document, "ed", ED))], {"acme": KEYS})


def _jwk(key: PrivateKey) -> dict[str, str]:
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(raw)}
    numbers = key.public_key().public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": b64url(numbers.x.to_bytes(32, "big")),
        "y": b64url(numbers.y.to_bytes(32, "big")),
    }


def test_keys_are_read_from_json() -> None:
    demands = read_demands("keys.json", json.dumps({"acme": {"ed": _jwk(ED), "p256": _jwk(P256)}}))
    check_signature(trust.parse(sign_document(DOCUMENT, "p256", P256)), demands["acme"])
    check_signature(trust.parse(sign_document(DOCUMENT, "ed", ED)), demands["acme"])


@pytest.mark.parametrize(
    "table",
    [
        [],
        {"acme": []},
        {"acme": {}},
        {"Acme": {"ed": _jwk(ED)}},
        {"acme": {"Ed": _jwk(ED)}},
        {"acme": {"ed": {**_jwk(ED), "d": "AAAA"}}},
        {"acme": {"ed": {**_jwk(ED), "crv": "X25519"}}},
        {"acme": {"ed": {**_jwk(ED), "x": "AAAA"}}},
        {"acme": {"ed": {**_jwk(P256), "y": _jwk(P256)["x"]}}},
        {"acme": {"ed": {**_jwk(ED), "x": 7}}},
    ],
)
def test_keys_that_are_none_are_refused(table: object) -> None:
    with pytest.raises(ConfigError):
        read_demands("keys.json", json.dumps(table))


def test_private_members_never_count_as_a_public_key() -> None:
    with pytest.raises(ValueError, match="alone"):
        public_key({**_jwk(ED), "d": "AAAA"})
