"""Forged COSE: a COSE_Sign1 of any header and payload, signed with any key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from verifier.formats import cbor
from verifier.formats.cose import ALGORITHMS, ES384, encode_sign1, to_be_signed


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes, alg: int = ES384) -> bytes:
    """Sign with ECDSA; r and s big-endian, each of the algorithm's size (RFC 9053 section 2.1)."""
    algorithm = ALGORITHMS[alg]
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(algorithm.hash)))
    size = (key.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def sign1(
    payload: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    alg: int = ES384,
    protected: bytes | None = None,
    unprotected: Mapping[Any, Any] | None = None,
    tagged: bool = False,
) -> bytes:
    """Write a signed COSE_Sign1; ``protected`` replaces the header ``{1: alg}``."""
    header = cbor.encode({1: alg}) if protected is None else protected
    signature = raw_signature(key, to_be_signed(header, payload), alg)
    return encode_sign1(header, unprotected or {}, payload, signature, tagged=tagged)
