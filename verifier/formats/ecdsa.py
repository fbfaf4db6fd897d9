"""ECDSA signatures of which r and s stand side by side, and whether a signature is a key's. Pure.

Each algorithm has one curve, one hash, and one size of r and of s. A key of another curve and a signature of another size verify
nothing. Whether a key may sign something at all is the caller's to know.
Source: RFC 7518 section 3.4, RFC 9053 section 2.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An ECDSA algorithm: name (RFC 7518 section 3.1), curve as ``cryptography`` names it, hash, and the octets of r and s each."""

    name: str
    curve: str
    hash: hashes.HashAlgorithm
    size: int


ES256: Final = Algorithm("ES256", "secp256r1", hashes.SHA256(), 32)
ES384: Final = Algorithm("ES384", "secp384r1", hashes.SHA384(), 48)
ES512: Final = Algorithm("ES512", "secp521r1", hashes.SHA512(), 66)


def verifies(key: Any, signature: bytes, data: bytes, *how: Any) -> bool:
    """Tell whether ``signature`` is the key's over ``data``; ``how`` is what ``verify`` of this kind of key takes beside the two."""
    try:
        key.verify(signature, data, *how)
    except InvalidSignature:
        return False
    return True


def is_key_of(key: object, algorithm: Algorithm) -> bool:
    """Tell whether ``key`` is a public key on the algorithm's curve."""
    return isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == algorithm.curve


def is_signed(key: object, algorithm: Algorithm, signature: bytes, data: bytes) -> bool:
    """Tell whether ``signature`` (r and s, big-endian, each of the algorithm's size) is the key's over ``data``."""
    size = algorithm.size
    if len(signature) != 2 * size:
        return False
    r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
    return is_signed_by_numbers(key, algorithm, r, s, data)


def is_signed_by_numbers(key: object, algorithm: Algorithm, r: int, s: int, data: bytes) -> bool:
    """Tell whether r and s are the key's signature over ``data``."""
    return is_key_of(key, algorithm) and verifies(key, encode_dss_signature(r, s), data, ec.ECDSA(algorithm.hash))


def sign(key: ec.EllipticCurvePrivateKey, algorithm: Algorithm, data: bytes) -> bytes:
    """Sign ``data``: r and s side by side. The key is on the algorithm's curve: ``ValueError`` for another."""
    if key.curve.name != algorithm.curve:
        raise ValueError(f"key: got {key.curve.name}, want {algorithm.curve}")
    numbers = decode_dss_signature(key.sign(data, ec.ECDSA(algorithm.hash)))
    return b"".join(number.to_bytes(algorithm.size, "big") for number in numbers)
