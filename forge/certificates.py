"""Forged X.509: certificates and CRLs written byte by byte, so that any field, wrong ones too, can be set.

``cryptography``'s builder refuses what vendors really write (AMD's serial number 0) and what tests need.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifier.formats.x509 import (
    OID_AUTHORITY_KEY_ID,
    OID_BASIC_CONSTRAINTS,
    OID_COMMON_NAME,
    OID_KEY_USAGE,
    OID_SUBJECT_KEY_ID,
    der_tlv,
)

_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _OID, _TRUE = 0x30, 0x31, 2, 3, 4, 6, b"\x01\x01\xff"
_NULL = b"\x05\x00"


def der_integer(value: int) -> bytes:
    """Encode an INTEGER, negative ones too."""
    return der_tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def der_oid(dotted: str) -> bytes:
    """Encode an OBJECT IDENTIFIER."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        content += bytes(reversed(septets))
    return der_tlv(_OID, bytes(content))


def der_time(seconds: int) -> bytes:
    """Encode a Time: UTCTime up to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5)."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    if moment.year < 2050:  # noqa: PLR2004 - the year that the RFC names
        return der_tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return der_tlv(0x18, moment.strftime("%Y%m%d%H%M%SZ").encode("ascii"))


def der_name(*attributes: tuple[str, str]) -> bytes:
    """Encode a Name of ``(OID, text)``, one attribute a set, as UTF8String."""
    sets = (
        der_tlv(_SET, der_tlv(_SEQUENCE, der_oid(oid) + der_tlv(0x0C, text.encode("utf-8"))))
        for oid, text in attributes
    )
    return der_tlv(_SEQUENCE, b"".join(sets))


def common_name_of(text: str, organization: str) -> bytes:
    """Encode a Name of organization and common name."""
    return der_name(("2.5.4.10", organization), (OID_COMMON_NAME, text))


@dataclass(frozen=True, slots=True)
class Extra:
    """An extension to be written as it is."""

    oid: str
    value: bytes
    critical: bool = False


def basic_constraints(*, ca: bool, path_length: int | None = None) -> Extra:
    """BasicConstraints, critical."""
    inner = (_TRUE if ca else b"") + (b"" if path_length is None else der_integer(path_length))
    return Extra(OID_BASIC_CONSTRAINTS, der_tlv(_SEQUENCE, inner), critical=True)


def key_usage(*bits: int) -> Extra:
    """KeyUsage of named bits, critical."""
    word = 0
    for bit in bits:
        word |= 0x80 >> bit
    spare = next((i for i in range(8) if word >> i & 1), 0)
    return Extra(OID_KEY_USAGE, der_tlv(_BITS, bytes((spare, word))), critical=True)


def subject_key_id(key_id: bytes) -> Extra:
    """SubjectKeyIdentifier."""
    return Extra(OID_SUBJECT_KEY_ID, der_tlv(_OCTETS, key_id))


def authority_key_id(key_id: bytes) -> Extra:
    """AuthorityKeyIdentifier with the key id alone."""
    return Extra(OID_AUTHORITY_KEY_ID, der_tlv(_SEQUENCE, der_tlv(0x80, key_id)))


@dataclass(frozen=True, slots=True)
class Signer:
    """How to sign: the AlgorithmIdentifier to write, and the function."""

    algorithm: bytes
    sign: Callable[[bytes], bytes]


_SHA384: Final = der_tlv(_SEQUENCE, der_oid("2.16.840.1.101.3.4.2.2") + _NULL)
_PSS_SHA384: Final = der_tlv(
    _SEQUENCE,
    der_oid("1.2.840.113549.1.1.10")
    + der_tlv(
        _SEQUENCE,
        der_tlv(0xA0, _SHA384)
        + der_tlv(0xA1, der_tlv(_SEQUENCE, der_oid("1.2.840.113549.1.1.8") + _SHA384))
        + der_tlv(0xA2, der_integer(48)),
    ),
)
_PKCS1_SHA384: Final = der_tlv(_SEQUENCE, der_oid("1.2.840.113549.1.1.12") + _NULL)


def pss_sha384(key: rsa.RSAPrivateKey) -> Signer:
    """RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 bytes: AMD's."""
    scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
    return Signer(_PSS_SHA384, lambda data: key.sign(data, scheme, hashes.SHA384()))


def pkcs1_sha384(key: rsa.RSAPrivateKey) -> Signer:
    """RSASSA-PKCS1-v1_5 with SHA-384."""
    return Signer(_PKCS1_SHA384, lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA384()))


_ECDSA_SHA256: Final = der_tlv(_SEQUENCE, der_oid("1.2.840.10045.4.3.2"))
_ECDSA_SHA384: Final = der_tlv(_SEQUENCE, der_oid("1.2.840.10045.4.3.3"))


def ecdsa_sha256(key: ec.EllipticCurvePrivateKey) -> Signer:
    """ECDSA with SHA-256 (Intel's, on P-256), deterministic: the same in every process."""
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    return Signer(_ECDSA_SHA256, lambda data: key.sign(data, algorithm))


def ecdsa_sha384(key: ec.EllipticCurvePrivateKey) -> Signer:
    """ECDSA with SHA-384 (AWS's and NVIDIA's, on P-384), deterministic."""
    algorithm = ec.ECDSA(hashes.SHA384(), deterministic_signing=True)
    return Signer(_ECDSA_SHA384, lambda data: key.sign(data, algorithm))


def _signed(tbs: bytes, signer: Signer) -> bytes:
    return der_tlv(_SEQUENCE, tbs + signer.algorithm + der_tlv(_BITS, b"\x00" + signer.sign(tbs)))


def _extensions(tag: int, extras: Sequence[Extra]) -> bytes:
    if not extras:
        return b""
    each = (
        der_tlv(_SEQUENCE, der_oid(e.oid) + (_TRUE if e.critical else b"") + der_tlv(_OCTETS, e.value)) for e in extras
    )
    return der_tlv(tag, der_tlv(_SEQUENCE, b"".join(each)))


def spki(key: PublicKeyTypes) -> bytes:
    """Return a public key's SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def forge_certificate(
    *,
    serial: int,
    issuer: bytes,
    subject: bytes,
    validity: tuple[int, int],
    public_key: bytes,
    signer: Signer,
    extensions: Sequence[Extra] = (),
) -> bytes:
    """Write and sign a certificate, version 3; names and SubjectPublicKeyInfo are DER, times Unix seconds."""
    tbs = (
        der_tlv(0xA0, der_integer(2))
        + der_integer(serial)
        + signer.algorithm
        + issuer
        + der_tlv(_SEQUENCE, der_time(validity[0]) + der_time(validity[1]))
        + subject
        + public_key
        + _extensions(0xA3, extensions)
    )
    return _signed(der_tlv(_SEQUENCE, tbs), signer)


def forge_crl(
    *,
    issuer: bytes,
    validity: tuple[int, int],
    number: int | None,
    signer: Signer,
    revoked: Sequence[int] = (),
    extensions: Sequence[Extra] = (),
) -> bytes:
    """Write and sign a CRL, version 2; ``validity`` is thisUpdate and nextUpdate; ``number`` may be left out."""
    numbered = () if number is None else (Extra("2.5.29.20", der_integer(number)),)
    entries = b"".join(der_tlv(_SEQUENCE, der_integer(serial) + der_time(validity[0])) for serial in revoked)
    tbs = (
        der_integer(1)
        + signer.algorithm
        + issuer
        + der_time(validity[0])
        + der_time(validity[1])
        + (der_tlv(_SEQUENCE, entries) if entries else b"")
        + _extensions(0xA0, (*numbered, *extensions))
    )
    return _signed(der_tlv(_SEQUENCE, tbs), signer)
