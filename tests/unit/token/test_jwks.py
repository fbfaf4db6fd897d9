"""Key forms: fixed lengths, public members only, static bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwk as jwcrypto_jwk

from tests.support.signing import ISSUER, new_key
from verifier.core.settings import ALGORITHMS
from verifier.formats.encoding import b64url, unb64url
from verifier.token.claims import CLAIM_NAMES
from verifier.token.jwks import PublicKey, discovery_document, generate_key, jwks_document, public_jwk, signing_key


def public(alg: str = "ES256") -> PublicKey:
    key = new_key(alg)
    return PublicKey(key.kid, alg, key.public_jwk)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_published_key_says_what_it_is_for_and_nothing_private(alg: str) -> None:
    key = public(alg)
    (entry,) = json.loads(jwks_document([key]).body)["keys"]
    assert {name: entry[name] for name in ("use", "alg", "kid")} == {"use": "sig", "alg": alg, "kid": key.kid}
    assert entry.keys() - {"use", "alg", "kid"} == key.jwk.keys()
    assert not entry.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}
    assert jwcrypto_jwk.JWK(**key.jwk).thumbprint() == key.kid
    assert jwt.PyJWKSet.from_dict({"keys": [entry]}).keys[0].key_id == key.kid


@pytest.mark.parametrize(("alg", "size"), [("ES256", 32), ("ES384", 48)])
def test_coordinates_have_the_fields_length_also_with_leading_zeros(alg: str, size: int) -> None:
    curve: ec.EllipticCurve = ec.SECP256R1() if alg == "ES256" else ec.SECP384R1()
    short = next(
        key
        for key in (ec.derive_private_key(scalar, curve) for scalar in range(2, 5000))
        if key.public_key().public_numbers().x.bit_length() <= 8 * (size - 1)
    )
    jwk = public_jwk(short, alg)
    assert [len(unb64url(jwk[name])) for name in ("x", "y")] == [size, size]
    assert unb64url(jwk["x"])[0] == 0


def test_signatures_have_the_fields_length_also_with_leading_zeros() -> None:
    key = new_key("ES256")
    assert {len(key.sign(str(number).encode())) for number in range(600)} == {64}


def test_the_entity_tag_follows_the_bytes() -> None:
    one, two = public(), public()
    first, same, other = jwks_document([one]), jwks_document([one]), jwks_document([one, two])
    assert first == same
    assert first.etag != other.etag
    assert first.etag.startswith('"')
    assert first.etag.endswith('"')


def test_an_empty_set_is_still_a_set() -> None:
    assert json.loads(jwks_document([]).body) == {"keys": []}


def test_a_private_member_is_never_published() -> None:
    key = public()
    with pytest.raises(ValueError, match="want public members only"):
        jwks_document([replace(key, jwk={**key.jwk, "d": b64url(bytes(32))})])


def test_a_kid_that_is_not_the_thumbprint_is_never_published() -> None:
    with pytest.raises(ValueError, match="thumbprint"):
        jwks_document([replace(public(), kid=public().kid)])


def test_the_discovery_document_names_issuer_and_keys_byte_for_byte() -> None:
    document = json.loads(discovery_document(ISSUER, ["ES256", "EdDSA", "ES256"]).body)
    assert document["issuer"] == ISSUER
    assert document["jwks_uri"] == f"{ISSUER}/.well-known/jwks.json"
    assert document["id_token_signing_alg_values_supported"] == ["ES256", "EdDSA"]
    assert document["response_types_supported"] == ["id_token"]
    assert document["subject_types_supported"] == ["public"]
    assert document["claims_supported"] == list(CLAIM_NAMES)
    assert not {name for name in document if name.endswith("_endpoint")}


@pytest.mark.parametrize(
    ("made_for", "used_for"), [("ES256", "ES384"), ("EdDSA", "ES256"), ("RS256", "EdDSA"), ("ES256", "RS256")]
)
def test_a_key_of_one_algorithm_never_signs_for_another(made_for: str, used_for: str) -> None:
    with pytest.raises(ValueError, match=f"^{used_for}: got"):
        signing_key(generate_key(made_for), used_for)


def test_an_unknown_algorithm_makes_no_key() -> None:
    unknown: Any = "HS256"
    with pytest.raises(ValueError, match=r"^alg: got 'HS256'"):
        generate_key(unknown)
