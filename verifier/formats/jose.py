"""What both ends of an answer share: its media types, its JSON form, the key agreement of its JWE. Pure; no pydantic.

The attester imports this and not ``core.wire``, whose models need pydantic, which an attester does without.
Sources: RFC 7515 (compact form), RFC 7518 sections 4.6 and 6.2.1, RFC 8785, NIST SP 800-56A section 5.8.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from verifier.formats.encoding import unb64url

ANSWER_TYPE = "vab-answer+jws"
ANSWER_KEYS_TYPE = "vab-answer-keys+jws"

# The one JWE that an answer may be: key agreement direct to the content key, no key wrapping, no compression.
JWE_ALG = "ECDH-ES"
JWE_ENC = "A256GCM"
JWE_KEY_BITS = 256
JWE_IV_SIZE = 12
JWE_TAG_SIZE = 16

_P256 = ec.SECP256R1()
_COORDINATE = 32


def concat_kdf(shared: bytes, *, algorithm: str, bits: int, apu: bytes = b"", apv: bytes = b"") -> bytes:
    """Derive a key of at most 256 bits from an ECDH result: one round of the Concat KDF (RFC 7518 section 4.6.2)."""
    if not 0 < bits <= 256 or bits % 8:  # noqa: PLR2004 - one SHA-256 block
        raise ValueError(f"bits: got {bits}, want a multiple of 8 up to 256")
    parts = [b"\x00\x00\x00\x01", shared]
    for field in (algorithm.encode("ascii"), apu, apv):
        parts += (len(field).to_bytes(4, "big"), field)
    parts.append(bits.to_bytes(4, "big"))
    return hashlib.sha256(b"".join(parts)).digest()[: bits // 8]


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
    return ec.EllipticCurvePublicKey.from_encoded_point(_P256, point)
