"""What both ends of an answer share: its media types, the one JWE that it may be, and P-256 keys read strictly. Pure; no pydantic.

The attester imports this and not ``core.wire``, whose models need pydantic, which an attester does without.
Sources: RFC 7518 sections 4.6 and 6.2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats.encoding import unb64url

ANSWER_TYPE: Final = "vab-answer+jws"
ANSWER_KEYS_TYPE: Final = "vab-answer-keys+jws"

# Key agreement direct to the content key, no key wrapping, no compression.
JWE_ALG: Final = "ECDH-ES"
JWE_ENC: Final = "A256GCM"
JWE_IV_SIZE: Final = 12
JWE_TAG_SIZE: Final = 16

_COORDINATE = 32


@lru_cache(maxsize=128)
def p256_point(point: bytes) -> ec.EllipticCurvePublicKey:
    """Load an uncompressed point of P-256 (SEC 1 section 2.3.4); ``ValueError`` for anything else.

    Cached by its bytes: a request's ``enc`` is checked when the request is read, and the answer is encrypted to it.
    """
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def p256_public_key(jwk: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """Load a P-256 public JWK of exactly ``kty crv x y``, coordinates of 32 bytes; ``ValueError`` for anything else."""
    if jwk.keys() != {"kty", "crv", "x", "y"} or jwk["kty"] != "EC" or jwk["crv"] != "P-256":
        raise ValueError("not a public P-256 JWK of kty, crv, x, y")
    point = b"\x04"
    for name in ("x", "y"):
        text = jwk[name]
        coordinate = unb64url(text) if isinstance(text, str) else b""
        if len(coordinate) != _COORDINATE:
            raise ValueError(f"{name}: got {len(coordinate)} bytes, want {_COORDINATE}")
        point += coordinate
    return p256_point(point)
