"""Answers: signed so that they can never log in, sealed as RFC 7516 says, both ways against jwcrypto."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto import jwe as jwcrypto_jwe
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from tests.support.signing import ISSUER, NONCE, NOW, WORKLOAD, AnswerMaker, new_key, random_from
from verifier.core import wire
from verifier.formats import jose
from verifier.formats.encoding import b64url, jwk_thumbprint, sha256, unb64url
from verifier.token.answer import VaultHint, build_answer, encrypt_answer, sign_answer, sign_key_set
from verifier.token.jwks import public_jwk
from verifier.token.mint import SELF_TYPE, WORKLOAD_TYPE


@pytest.mark.parametrize("plaintext", [b"x", bytes(10_000)])
def test_jwcrypto_opens_what_was_sealed_here(plaintext: bytes) -> None:
    maker = AnswerMaker()
    private = jwcrypto_jwk.JWK.from_pyca(maker.enc)
    opened = jwcrypto_jwe.JWE(algs=["ECDH-ES", "A256GCM"])
    opened.deserialize(maker.seal(plaintext), key=private)
    assert opened.payload == plaintext


def test_the_envelope_has_five_fields_and_exactly_three_header_members() -> None:
    fields = AnswerMaker().seal(b"x").split(".")
    header = json.loads(unb64url(fields[0]))
    assert (len(fields), fields[1]) == (5, "")
    assert [len(unb64url(fields[i])) for i in (2, 4)] == [12, 16]
    assert header.keys() == {"alg", "enc", "epk"}
    assert (header["alg"], header["enc"]) == ("ECDH-ES", "A256GCM")
    assert header["epk"].keys() == {"kty", "crv", "x", "y"}


def test_randomness_is_an_argument_and_all_of_it() -> None:
    jwk = AnswerMaker().enc_jwk
    plaintext = bytes(32)  # of one byte, every 256th pair would be sealed to the same one
    one, again = (encrypt_answer(plaintext, jwk, random_from("a")) for _ in range(2))
    other = encrypt_answer(plaintext, jwk, random_from("b"))
    assert one == again
    assert all(
        mine != theirs for i, (mine, theirs) in enumerate(zip(one.split("."), other.split("."), strict=True)) if i != 1
    )


def test_a_sealed_answer_has_the_bytes_that_it_always_had() -> None:
    jwk = public_jwk(ec.derive_private_key(7, ec.SECP256R1()), "ES256")
    sealed = encrypt_answer(b"an answer", jwk, random_from("known"))
    assert sha256(sealed.encode()).hex() == "63b12623535be6ada00a1930f0ebee261e3669108189416bd1f8de67b6de993c"


@pytest.mark.parametrize(
    "change",
    [
        {"x": b64url(bytes(31))},
        {"y": b64url(bytes(33))},
        {"crv": "P-384"},
        {"kty": "OKP"},
        {"d": "AA"},
        {"x": b64url(bytes(32))},
    ],
)
def test_nothing_is_sealed_to_what_is_no_key_of_p_256(change: dict[str, str]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each member has words of its own
        encrypt_answer(b"x", {**AnswerMaker().enc_jwk, **change}, random_from("a"))


def test_jwcrypto_verifies_the_signed_answer_and_its_key_set() -> None:
    maker = AnswerMaker()
    answer = jwcrypto_jws.JWS()
    answer.deserialize(maker.sign().decode(), jwcrypto_jwk.JWK(**maker.answer_key.public_jwk))
    header = answer.jose_header
    assert {name: header[name] for name in ("alg", "kid", "typ")} == {
        "alg": "ES256",
        "kid": maker.answer_key.kid,
        "typ": "vab-answer+jws",
    }
    key_set = jwcrypto_jws.JWS()
    key_set.deserialize(header["keys"], jwcrypto_jwk.JWK(**maker.root.public_jwk))
    assert key_set.jose_header == {"alg": "ES256", "kid": maker.root.kid, "typ": "vab-answer-keys+jws"}
    assert json.loads(key_set.payload) == {
        "issuer": ISSUER,
        "seq": 7,
        "iat": NOW - 100,
        "exp": NOW + 1000,
        "keys": [dict(maker.answer_key.public_jwk)],
    }


def test_an_answer_can_never_log_in() -> None:
    """No registered claim to bind a role to, a type of its own, and a key that no JWKS shows."""
    maker = AnswerMaker()
    signed = maker.sign()
    claims = jwt.decode(signed, options={"verify_signature": False})
    assert claims.keys() == {"issuer", "nonce", "tenant", "workload", "sig", "enc", "token", "vault"}
    assert not claims.keys() & {"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(signed, jwt.PyJWK({**maker.token_key.public_jwk, "alg": "ES256"}), algorithms=["ES256"])


def test_the_answer_names_its_recipient_and_its_vault() -> None:
    maker = AnswerMaker()
    token = maker.token()
    sealed = build_answer(
        issuer=ISSUER,
        nonce=NONCE,
        tenant="default",
        workload="cat",
        sig_thumbprint=maker.sig_thumbprint,
        enc_thumbprint=jwk_thumbprint(maker.enc_jwk),
        token=token,
        vault=VaultHint(WORKLOAD.vault_address, WORKLOAD.vault_ca_pem, WORKLOAD.vault_mount, WORKLOAD.vault_role),
        key=maker.answer_key,
        key_set=maker.key_set(),
        enc=maker.enc_jwk,
        random=random_from("answer"),
    )
    opened = jwcrypto_jwe.JWE(algs=["ECDH-ES", "A256GCM"])
    opened.deserialize(sealed, key=jwcrypto_jwk.JWK.from_pyca(maker.enc))
    assert jwt.decode(opened.payload, options={"verify_signature": False}) == maker.members(token=token)


@pytest.mark.parametrize("alg", ["ES384", "EdDSA", "PS256"])
def test_answers_are_signed_with_es256_whatever_tokens_are_signed_with(alg: str) -> None:
    with pytest.raises(ValueError, match=r"^answer key: got"):
        sign_answer({}, new_key(alg), "")


@pytest.mark.parametrize(
    "given",
    [{"seq": 0}, {"keys": []}, {"expires_at": NOW - 100}, {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}],
)
def test_the_root_signs_no_senseless_set(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - two messages, one rule
        AnswerMaker().key_set(**given)


def test_the_root_is_a_p_256_key() -> None:
    key = new_key()
    with pytest.raises(ValueError, match=r"^key set: want an ES256 root"):
        sign_key_set(new_key("EdDSA"), issuer=ISSUER, seq=1, issued_at=NOW, expires_at=NOW + 1, keys=[key.public_jwk])


def test_no_two_things_that_are_signed_share_a_type() -> None:
    types = (jose.ANSWER_TYPE, jose.ANSWER_KEYS_TYPE, wire.REQUEST_TYPE, WORKLOAD_TYPE, SELF_TYPE)
    assert len(set(types)) == 5


def test_what_the_attester_shares_needs_no_pydantic() -> None:
    source = (Path(__file__).parents[3] / "verifier/formats/jose.py").read_text()
    assert "import pydantic" not in source
    assert "from pydantic" not in source
