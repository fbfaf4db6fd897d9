"""Key forms: from a private key to ``SigningKey``, and the static bytes that Vault fetches. Pure.

PyJWT signs with a local key, jwcrypto makes its JWK and its thumbprint (``kid``).
Sources: RFC 7517, RFC 7518 section 3, RFC 8037 section 3.1 (EdDSA); OpenID Connect Discovery 1.0 section 3. Of the discovery document
Vault reads ``issuer``, byte for byte, and ``jwks_uri``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from verifier.core.ports import SigningKey
from verifier.formats import jwk
from verifier.formats.encoding import b64url, canonical, sha256
from verifier.formats.jwk import PrivateKey
from verifier.token.claims import CLAIM_NAMES

JWKS_PATH: Final = "/.well-known/jwks.json"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
RSA_BITS: Final = 3072


def _rsa() -> PrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)


# How a key for an algorithm is made, and what its JWK says that it is.
_KINDS: Final[Mapping[str, tuple[Callable[[], PrivateKey], str]]] = {
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), "P-256"),
    "ES384": (lambda: ec.generate_private_key(ec.SECP384R1()), "P-384"),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
    "RS256": (_rsa, "RSA"),
    "PS256": (_rsa, "RSA"),
}
_PYJWT: Final = get_default_algorithms()


@dataclass(frozen=True, slots=True)
class Document:
    """A public document as it is served: bytes, and a strong entity tag with its quotes."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as the JWKS shows it."""

    kid: str
    alg: str
    jwk: Mapping[str, str]


def generate_key(alg: str) -> PrivateKey:
    """Make a key for ``alg`` from the system's randomness (OpenSSL's own generator): for adapters, not for deciding code."""
    if alg not in _KINDS:
        raise ValueError(f"alg: got {alg!r}")
    return _KINDS[alg][0]()


def public_jwk(private: PrivateKey, alg: str) -> dict[str, str]:
    """Return the required members of the public JWK and nothing else; ``ValueError`` for a key of another algorithm."""
    public = jwk.public_jwk(private)
    kind = public.get("crv", public["kty"])
    if alg not in _KINDS or kind != _KINDS[alg][1]:
        raise ValueError(f"{alg}: got a key of {kind}")
    return public


def signing_key(private: PrivateKey, alg: str) -> SigningKey:
    """Make a ``SigningKey``: ``kid`` is the RFC 7638 thumbprint, ``sign`` gives JWS signatures (RFC 7518 section 3)."""
    public = public_jwk(private, alg)
    return SigningKey(jwk.thumbprint(public), alg, partial(_PYJWT[alg].sign, key=private), public)


def jwks_document(keys: Iterable[PublicKey]) -> Document:
    """Return the JWKS (RFC 7517 section 5) of a tenant; a private member anywhere is a programmer's error."""
    entries = []
    for key in keys:
        try:
            is_own_name = jwk.thumbprint(key.jwk) == key.kid
        except ValueError:
            is_own_name = False
        if not is_own_name:
            raise ValueError(f"jwk {key.kid}: want public members only, and their thumbprint as kid")
        entries.append({**key.jwk, "use": "sig", "alg": key.alg, "kid": key.kid})
    return _document({"keys": entries})


def discovery_document(issuer: str, algorithms: Iterable[str]) -> Document:
    """Return the OIDC discovery document. There are no authorization or token endpoints: no user logs in *here*."""
    return _document(
        {
            "issuer": issuer,
            "jwks_uri": f"{issuer}{JWKS_PATH}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": sorted(set(algorithms)),
            "scopes_supported": ["openid"],
            "claims_supported": list(CLAIM_NAMES),
        }
    )


def _document(content: Mapping[str, object]) -> Document:
    body = canonical(content)
    return Document(body, f'"{b64url(sha256(body))}"')
