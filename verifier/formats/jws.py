"""Compact JWS (RFC 7515 section 7.1), and signatures by Ed25519 (``EdDSA``, RFC 8037) or P-256 (``ES256``). Pure.

``split`` reads and proves nothing: which header members and values may stand there is the caller's to say, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from verifier.formats import ecdsa, strict_json
from verifier.formats.encoding import unb64url

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A compact JWS as read, unverified. ``header`` is JSON with each name once, of whatever type."""

    header: Any
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)


def split(data: bytes) -> CompactJws:
    """Take a compact JWS apart; ``ValueError`` unless it is three fields of base64url of which the first is JSON."""
    head, payload, signature = data.decode("ascii").split(".")
    return CompactJws(
        header=strict_json.read(unb64url(head)),
        payload=unb64url(payload),
        signature=unb64url(signature),
        signing_input=f"{head}.{payload}".encode("ascii"),
    )


def algorithm_of(key: PublicKey | PrivateKey) -> str:
    """Return the ``alg`` of signatures by this key; ``ValueError`` for another curve than P-256."""
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        return "EdDSA"
    if key.curve.name == ecdsa.ES256.curve:
        return ecdsa.ES256.name
    raise ValueError(f"curve: got {key.curve.name}, want Ed25519 or P-256")


def sign(key: PrivateKey, signing_input: bytes) -> bytes:
    """Sign: 64 bytes."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signing_input)
    return ecdsa.sign(key, ecdsa.ES256, signing_input)


def is_signed(key: PublicKey, signature: bytes, signing_input: bytes) -> bool:
    """Tell whether the signature is the key's over the signing input."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return ecdsa.verifies(key, signature, signing_input)
    return ecdsa.is_signed(key, ecdsa.ES256, signature, signing_input)
