"""Public keys as JWKs, and their thumbprints, by jwcrypto.

jwcrypto takes unknown members and coordinates of any length, and it makes a new key of a JWK with a member ``generate``. So the
members are checked here first, exactly. Whether a key may be trusted is the caller's to know.

jwcrypto is imported on use: it takes 0.07 s, which the attester's other commands do not need. On the way of a request
``formats.jose`` and ``formats.encoding.jwk_thumbprint`` do the same for P-256 alone; docs/adr/0011-libraries.md has the figures.
Sources: RFC 7517 section 4, RFC 7518 section 6, RFC 7638, RFC 8037 section 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

# kty -> the required members, and the curves that this product uses.
_KINDS: Final[Mapping[str, tuple[frozenset[str], frozenset[str | None]]]] = {
    "EC": (frozenset({"kty", "crv", "x", "y"}), frozenset({"P-256", "P-384"})),
    "OKP": (frozenset({"kty", "crv", "x"}), frozenset({"Ed25519"})),
    "RSA": (frozenset({"kty", "n", "e"}), frozenset({None})),
}


def public_jwk(key: PrivateKey | PublicKey) -> dict[str, str]:
    """Return the public JWK of a key: the required members and no other. ``ValueError`` for a key that has none."""
    from jwcrypto.common import JWException
    from jwcrypto.jwk import JWK

    try:
        jwk: dict[str, str] = JWK.from_pyca(key).export_public(as_dict=True)
    except JWException:
        raise ValueError(f"key: got a {type(key).__name__}, want one on a curve, Ed25519 or RSA") from None
    del jwk["kid"]
    return jwk


def public_key(jwk: Mapping[str, Any]) -> PublicKey:
    """Load a public JWK that holds the required members of its ``kty`` alone, each in its one form.

    ``ValueError`` for anything else: private or unknown members, coordinates of another length, a point off the curve.
    """
    from jwcrypto.common import JWException
    from jwcrypto.jwk import JWK

    if not all(isinstance(value, str) for value in jwk.values()):
        raise ValueError("want a public JWK whose members are strings")
    members, curves = _KINDS.get(jwk.get("kty", ""), (frozenset(), frozenset()))
    if jwk.keys() != members or jwk.get("crv") not in curves:
        raise ValueError("want a public JWK of P-256, P-384, Ed25519 or RSA: kty and its required members alone")
    try:
        key: PublicKey = JWK(**jwk).get_op_key("verify")
    except JWException as error:
        raise ValueError(f"jwk: {error}") from None
    if public_jwk(key) != jwk:
        raise ValueError("jwk: a member has another length than its curve asks for, or another form")
    return key


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint (SHA-256) of a public JWK, base64url; ``ValueError`` as in ``public_key``."""
    from jwcrypto.jwk import JWK

    made: str = JWK.from_pyca(public_key(jwk)).thumbprint()
    return made
