"""Mint: every gate again, one place that signs, and tokens that other people's libraries verify."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jws as jwcrypto_jws

from tests.support.signing import APPRAISAL, BASE_URL, ISSUER, JTI, NOW, claims_of, new_key
from verifier.core.settings import ALGORITHMS
from verifier.formats.encoding import b64url, canonical, jwk_thumbprint, sha256, unb64url
from verifier.formats.errors import EvidenceRejected
from verifier.token.mint import Mintable, mint, mint_self, mintable, sign_compact

REPOSITORY = Path(__file__).parents[3]
SELF: dict[str, Any] = {"issuer": ISSUER, "audience": "vault/jwt-revoker", "now": NOW, "jti": JTI, "simulated": False}


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_pyjwt_and_jwcrypto_verify_what_was_minted(alg: str) -> None:
    key = new_key(alg)
    claims = claims_of()
    token = mint(mintable(claims, APPRAISAL, simulated=False), key)
    public = jwt.PyJWK({**key.public_jwk, "alg": alg})
    options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    seen = jwt.decode(token, public, algorithms=[alg], audience=claims["aud"], issuer=claims["iss"], options=options)
    assert seen == claims
    other = jwcrypto_jws.JWS()
    other.allowed_algs = [alg]
    other.deserialize(token, jwcrypto_jwk.JWK(**key.public_jwk))
    assert json.loads(other.payload) == claims


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_the_header_is_exactly_alg_kid_and_typ(alg: str) -> None:
    key = new_key(alg)
    token = mint(mintable(claims_of(), APPRAISAL, simulated=False), key)
    header = jwt.get_unverified_header(token)
    assert header == {"alg": alg, "kid": b64url(jwk_thumbprint(key.public_jwk)), "typ": "eat+jwt"}
    assert token.split(".")[0] == b64url(canonical(header))


def test_a_key_behind_a_function_signs_as_well() -> None:
    """What Vault Transit or a PKCS#11 module gives is a signature; the key never comes here."""
    key, seen = new_key("RS256"), []

    def elsewhere(signing_input: bytes) -> bytes:
        seen.append(signing_input)
        return key.sign(signing_input)

    token = mint(mintable(claims_of(), APPRAISAL, simulated=False), replace(key, sign=elsewhere))
    assert seen == [token.rpartition(".")[0].encode()]
    assert token == mint(mintable(claims_of(), APPRAISAL, simulated=False), key)


def test_the_payload_is_the_form_that_the_record_keeps_the_digest_of() -> None:
    claims = claims_of()
    ready = mintable(claims, APPRAISAL, simulated=False)
    payload = unb64url(mint(ready, new_key()).split(".")[1])
    assert payload == canonical(claims)
    assert sha256(payload) == ready.digest


def test_what_may_be_signed_is_made_in_one_place() -> None:
    with pytest.raises(TypeError, match="made by mintable only"):
        Mintable(object(), canonical(claims_of()))


@pytest.mark.parametrize(
    ("change", "simulated", "check_id"),
    [
        ({"accepted": False}, False, "policy.accepted"),
        ({"bound": False}, False, "policy.bound"),
        ({"root": "simulated"}, False, "policy.root"),
        ({}, True, "policy.root"),
        ({"root": "case-given"}, False, "policy.root"),
        ({"debug_status": "enabled"}, False, "policy.debug"),
        ({"debug_allowed": True}, False, "policy.debug"),
    ],
)
def test_mint_asks_every_gate_again(change: dict[str, Any], simulated: bool, check_id: str) -> None:  # noqa: FBT001
    with pytest.raises(EvidenceRejected) as caught:
        mint(mintable(claims_of(), replace(APPRAISAL, **change), simulated=simulated), new_key())
    assert caught.value.check_id == check_id


@pytest.mark.parametrize("name", ["tenant", "workload", "policy"])
def test_mint_refuses_a_name_that_vault_would_expand(name: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        mint(mintable({**claims_of(), name: "+"}, APPRAISAL, simulated=False), new_key())
    assert caught.value.check_id == "policy.name"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"aud": ["vault/jwt-default"]}, "aud"),
        ({"aud": ""}, "aud"),
        ({"exp": NOW + 301}, "exp"),
        ({"exp": NOW}, "exp"),
        ({"nbf": NOW - 1}, "exp"),
        ({"exp": float(NOW + 60)}, "iat, nbf, exp"),
        ({"simulated": "true"}, "simulated"),
        ({"root": "private"}, "root"),
        ({"host_excluded": "false"}, "host_excluded"),
        ({"dbgstat": "enabled"}, "dbgstat"),
        ({"ear_status": "none"}, "ear_status"),
        ({"policy": "other"}, "policy"),
        ({"policy_digest": "00" * 32}, "policy_digest"),
        ({"tee": "tpm2"}, "tee"),
    ],
)
def test_claims_that_are_not_the_appraisals_are_a_programmers_error(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        mint(mintable({**claims_of(), **change}, APPRAISAL, simulated=False), new_key())


def test_a_life_of_300_seconds_is_the_longest() -> None:
    token = mint(mintable(claims_of(life_s=300), APPRAISAL, simulated=False), new_key())
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300


def test_the_verifiers_own_login_has_none_of_a_workloads_claims() -> None:
    key = new_key()
    token = mint_self(subject="v:revoker", key=key, **SELF)
    assert jwt.get_unverified_header(token) == {"alg": "ES256", "kid": key.kid, "typ": "JWT"}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "sub", "aud", "iat", "nbf", "exp", "jti", "simulated"}
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("v:revoker", 60)


@pytest.mark.parametrize("subject", ["w:7f1d3f0e-8a51-4c59-9a63-0b7a6d9c2d11", "revoker", "v:", "v:+"])
def test_the_verifiers_own_login_never_names_a_workload(subject: str) -> None:
    with pytest.raises(ValueError, match=r"^subject: got"):
        mint_self(subject=subject, key=new_key(), **SELF)


def test_an_unknown_algorithm_is_never_signed_with() -> None:
    with pytest.raises(ValueError, match=r"^alg: got 'none'"):
        sign_compact({"iss": BASE_URL}, replace(new_key(), alg="none"), typ="JWT")


def test_nothing_else_in_the_verifier_signs_with_a_signing_key() -> None:
    """The port's ``sign`` is called in mint alone, and compact JWS are made in ``token`` alone."""
    callers: dict[str, set[str]] = {
        "key.sign(": set(),
        "sign_compact(": set(),
        "jws.sign(": set(),
        "ecdsa.sign(": set(),
    }
    for path in (REPOSITORY / "verifier").rglob("*.py"):
        text = path.read_text()
        for call, found in callers.items():
            if re.search(rf"(?<![\w.]){re.escape(call)}", text):
                found.add(path.relative_to(REPOSITORY / "verifier").as_posix())
    assert callers["sign_compact("] == {"token/mint.py", "token/answer.py"}
    # Trust documents and collateral bundles are signed by operators' own keys, which are in no JWKS and in no verifier.
    operators = {"appraise/signatures.py", "adapters/collateral/bundle.py"}
    assert callers["jws.sign("] <= operators
    assert callers["ecdsa.sign("] == {"formats/jws.py"}
    assert callers["key.sign("] - operators == {"token/mint.py", "formats/ecdsa.py", "formats/jws.py"}
