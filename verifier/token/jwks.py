"""Key forms: from a private key to ``SigningKey``, and the static bytes that Vault fetches. Pure.

Sources: RFC 7517, RFC 7518 sections 3 and 6, RFC 8037 (Ed25519), RFC 7638 (``kid``); OpenID Connect Discovery 1.0
section 3. Of the discovery document Vault reads ``issuer``, byte for byte, and ``jwks_uri``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from verifier.core.ports import SigningKey
from verifier.formats.encoding import b64url, encode_json, jwk_thumbprint, sha256
from verifier.token.claims import CLAIM_NAMES

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

JWKS_PATH: Final = "/.well-known/jwks.json"
DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
RSA_BITS: Final = 3072

_EC: Final[Mapping[str, tuple[ec.EllipticCurve, str, int, hashes.HashAlgorithm]]] = {
    "ES256": (ec.SECP256R1(), "P-256", 32, hashes.SHA256()),
    "ES384": (ec.SECP384R1(), "P-384", 48, hashes.SHA384()),
}
_PUBLIC_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e"})


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
    if alg in _EC:
        return ec.generate_private_key(_EC[alg][0])
    if alg == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if alg in ("RS256", "PS256"):
        return rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    raise ValueError(f"alg: got {alg!r}")


def public_jwk(private: PrivateKey, alg: str) -> dict[str, str]:
    """Return the required members of the public JWK and nothing else; coordinates are of fixed length."""
    if isinstance(private, ec.EllipticCurvePrivateKey) and alg in _EC:
        _, name, size, _ = _EC[alg]
        if private.curve.name != _EC[alg][0].name:
            raise ValueError(f"{alg}: got a key of {private.curve.name}, want {name}")
        numbers = private.public_key().public_numbers()
        x, y = numbers.x.to_bytes(size, "big"), numbers.y.to_bytes(size, "big")
        return {"kty": "EC", "crv": name, "x": b64url(x), "y": b64url(y)}
    if isinstance(private, ed25519.Ed25519PrivateKey) and alg == "EdDSA":
        return {"kty": "OKP", "crv": "Ed25519", "x": b64url(private.public_key().public_bytes_raw())}
    if isinstance(private, rsa.RSAPrivateKey) and alg in ("RS256", "PS256"):
        rsa_numbers = private.public_key().public_numbers()
        modulus = rsa_numbers.n.to_bytes((private.key_size + 7) // 8, "big")
        exponent = rsa_numbers.e.to_bytes((rsa_numbers.e.bit_length() + 7) // 8, "big")
        return {"kty": "RSA", "n": b64url(modulus), "e": b64url(exponent)}
    raise ValueError(f"{alg}: got a {type(private).__name__}")


def signing_key(private: PrivateKey, alg: str) -> SigningKey:
    """Make a ``SigningKey``: ``kid`` is the RFC 7638 thumbprint, ``sign`` gives JWS signatures (RFC 7518 section 3)."""
    jwk = public_jwk(private, alg)
    return SigningKey(kid=b64url(jwk_thumbprint(jwk)), alg=alg, sign=_signer(private, alg), public_jwk=jwk)


def _signer(private: PrivateKey, alg: str) -> Callable[[bytes], bytes]:
    if isinstance(private, ec.EllipticCurvePrivateKey):
        _, _, size, digest = _EC[alg]
        return _ecdsa_signer(private, ec.ECDSA(digest), size)
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.sign
    # PS256: the salt is as long as the hash (RFC 7518 section 3.5).
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
    scheme: padding.AsymmetricPadding = pss if alg == "PS256" else padding.PKCS1v15()
    return lambda signing_input: private.sign(signing_input, scheme, hashes.SHA256())


def _ecdsa_signer(private: ec.EllipticCurvePrivateKey, how: ec.ECDSA, size: int) -> Callable[[bytes], bytes]:
    """ECDSA as JWS wants it: r and s, each of the field's length, instead of DER."""

    def sign(signing_input: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(signing_input, how))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")

    return sign


def jwks_document(keys: Iterable[PublicKey]) -> Document:
    """Return the JWKS (RFC 7517 section 5) of a tenant; a private member anywhere is a programmer's error."""
    entries = []
    for key in keys:
        if not key.jwk.keys() <= _PUBLIC_MEMBERS or b64url(jwk_thumbprint(key.jwk)) != key.kid:
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
    body = encode_json(content)
    return Document(body, f'"{b64url(sha256(body))}"')
