"""Compact JWS (RFC 7515 section 7.1), and signatures by Ed25519 (``EdDSA``, RFC 8037) or P-256 (``ES256``). Pure.

``split`` reads and proves nothing: which header members and values may stand there is the caller's to say, exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from verifier.formats import ecdsa, strict_json
from verifier.formats.encoding import unb64url

PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey


# The largest header that this product writes is an answer's: it carries the set of answer keys that the offline root signed.
MAX_HEADER: Final = 64 * 1024
_MAX_HEADER_VALUES: Final = 64


class WrongHeader(ValueError):
    """The header is not exactly the one that the reader wants."""


@dataclass(frozen=True, slots=True)
class CompactJws:
    """A compact JWS as read, unverified. ``header`` is JSON with each name once, of whatever type."""

    header: Any
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signing_input: bytes = field(repr=False)


def split(data: bytes, *, header: Any = None) -> CompactJws:
    """Take a compact JWS apart; ``ValueError`` unless it is three fields of base64url of which the first is JSON.

    ``header``: what the header has to be, exactly; ``WrongHeader`` for another one, before the payload is looked at.
    """
    fields = data.decode("ascii").split(".", 3)
    if len(fields) != 3:  # noqa: PLR2004 - RFC 7515 section 7.1
        raise ValueError("want three fields")
    head, payload, signature = fields
    if len(head) > MAX_HEADER:
        raise ValueError(f"header: got {len(head)} characters, want at most {MAX_HEADER}")
    read = strict_json.read(unb64url(head), most=_MAX_HEADER_VALUES)
    if header is not None and read != header:
        raise WrongHeader("header: got another one than is wanted")
    return CompactJws(
        header=read,
        payload=unb64url(payload),
        signature=unb64url(signature),
        signing_input=data[: len(head) + 1 + len(payload)],
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
