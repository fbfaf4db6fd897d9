"""COSE_Sign1 (RFC 9052 section 4.2) with ECDSA (RFC 9053 section 2.1), for evidence that is signed this way.

``decode_sign1`` reads and proves nothing; ``verify_sign1`` checks the signature over the bytes as they were received: neither the
protected header nor the payload is ever written anew. The algorithm counts in the protected header alone and has to fit the key's
curve (ES256 P-256, ES384 P-384, ES512 P-521), so nothing outside the signature can choose it.
Not read: detached payloads, counter signatures, ``crit`` headers (refused), keys or certificates in headers (never used).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from verifier.formats import cbor, ecdsa
from verifier.formats.errors import Failed, MalformedEvidence, mismatch

TAG_SIGN1: Final = 18
HEADER_ALG: Final = 1
HEADER_CRIT: Final = 2
ES256, ES384, ES512 = -7, -35, -36
_MAX_HEADER: Final = 8 * 1024


ALGORITHMS: Final[Mapping[int, ecdsa.Algorithm]] = {ES256: ecdsa.ES256, ES384: ecdsa.ES384, ES512: ecdsa.ES512}


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1 as read, unverified. ``protected`` and ``payload`` are the bytes inside their byte strings."""

    protected: bytes
    header: Mapping[Any, Any]  # what ``protected`` says
    unprotected: Mapping[Any, Any]
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    alg: int  # from the protected header
    tagged: bool
    raw: bytes = field(repr=False)


def decode_sign1(data: bytes, check_id: str, what: str) -> Sign1:
    """Read a COSE_Sign1, with tag 18 or without. Raises ``MalformedEvidence(check_id)``, for trailing bytes too."""

    def fail(detail: str) -> MalformedEvidence:
        return MalformedEvidence(check_id, f"{what}: {detail}")

    read = cbor.decode(data, check_id, what, indefinite=True)
    tagged = isinstance(read, cbor2.CBORTag)
    if tagged:
        if read.tag != TAG_SIGN1:
            raise fail(f"got tag {read.tag}, want {TAG_SIGN1} (COSE_Sign1) or none")
        read = read.value
    if not isinstance(read, list) or len(read) != 4:  # noqa: PLR2004 - COSE_Sign1
        raise fail("want an array of four: protected, unprotected, payload, signature")
    protected, unprotected, payload, signature = read
    for name, value in (("protected", protected), ("payload", payload), ("signature", signature)):
        if not isinstance(value, bytes):
            raise fail(f"{name}: got {type(value).__name__}, want a byte string")
    if not isinstance(unprotected, dict):
        raise fail(f"unprotected: got {type(unprotected).__name__}, want a map")
    header = _header(protected, check_id, f"{what}.protected")
    both = header.keys() & unprotected.keys()
    if both or HEADER_ALG in unprotected:
        raise fail(
            f"unprotected: got labels {sorted(map(str, both or {HEADER_ALG}))}, want no algorithm and none twice"
        )
    alg = header.get(HEADER_ALG)
    if isinstance(alg, bool) or not isinstance(alg, int):
        raise fail(f"protected.alg: got {alg!r:.80}, want an integer")
    if HEADER_CRIT in header or HEADER_CRIT in unprotected:
        raise fail("crit: got critical headers, want none")
    return Sign1(protected, header, unprotected, payload, signature, alg, tagged, data)


def _header(protected: bytes, check_id: str, what: str) -> dict[Any, Any]:
    """Read the protected header; an empty byte string is an empty map (RFC 9052 section 3)."""
    if not protected:
        return {}
    header = cbor.decode(protected, check_id, what, max_size=_MAX_HEADER)
    if not isinstance(header, dict):
        raise MalformedEvidence(check_id, f"{what}: got {type(header).__name__}, want a map")
    return header


def encode_sign1(
    protected: bytes, unprotected: Mapping[Any, Any], payload: bytes, signature: bytes, *, tagged: bool = False
) -> bytes:
    """Write a COSE_Sign1 of definite lengths. What was read is kept in ``Sign1.raw`` and not written anew."""
    tag = cbor.head(cbor.TAG, TAG_SIGN1) if tagged else b""
    strings = (cbor.byte_string(protected), cbor.encode(dict(unprotected)), cbor.byte_string(payload))
    return tag + cbor.head(cbor.ARRAY, 4) + b"".join(strings) + cbor.byte_string(signature)


def to_be_signed(protected: bytes, payload: bytes, external_aad: bytes = b"") -> bytes:
    """Return the Sig_structure of a COSE_Sign1 (RFC 9052 section 4.4): what is hashed and signed."""
    context = b"\x6aSignature1"
    strings = (cbor.byte_string(data) for data in (protected, external_aad, payload))
    return cbor.head(cbor.ARRAY, 4) + context + b"".join(strings)


def verify_sign1(sign1: Sign1, public_key: PublicKeyTypes, *, external_aad: bytes = b"") -> None:
    """Refuse a signature that is not by ``public_key``: ``Failed``, for an algorithm that does not fit too."""
    algorithm = ALGORITHMS.get(sign1.alg)
    if algorithm is None:
        known = sorted(a.name for a in ALGORITHMS.values())
        raise Failed(mismatch("algorithm", sign1.alg, f"one of {known}"))
    if not ecdsa.is_key_of(public_key, algorithm):
        raise Failed(mismatch("key", type(public_key).__name__, f"{algorithm.curve}, as the header says"))
    if len(sign1.signature) != 2 * algorithm.size:
        raise Failed(mismatch("signature", f"{len(sign1.signature)} bytes", f"{2 * algorithm.size}"))
    signed = to_be_signed(sign1.protected, sign1.payload, external_aad)
    if not ecdsa.is_signed(public_key, algorithm, sign1.signature, signed):
        raise Failed("signature: does not verify with this key")
