"""X.509 certificates and CRLs as records of our own (RFC 5280), read with ``cryptography.hazmat.asn1``.

Why not ``cryptography.x509``: AMD's VCEK certificates carry serial number 0, which RFC 5280 forbids and which
``cryptography`` warns of now and will refuse later. Reading proves nothing; ``x509chain`` verifies.
A public key is kept as bytes until its certificate was verified, so that no attacker's key is ever computed with.

Strict: DER only, version 3 or 1, a signature algorithm inside that equals the one outside, each extension once.
Names compare as DER bytes: RFC 5280 section 7.1 would let some unequal encodings match; we refuse those.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Final, Literal

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from verifier.formats.errors import MalformedEvidence

MAX_CERTIFICATE = 16 * 1024
MAX_CRL = 1024 * 1024
_MAX_SERIAL = 20  # octets, RFC 5280 section 4.1.2.2

OID_BASIC_CONSTRAINTS: Final = "2.5.29.19"
OID_KEY_USAGE: Final = "2.5.29.15"
OID_EXTENDED_KEY_USAGE: Final = "2.5.29.37"
OID_SUBJECT_ALT_NAME: Final = "2.5.29.17"
OID_SUBJECT_KEY_ID: Final = "2.5.29.14"
OID_AUTHORITY_KEY_ID: Final = "2.5.29.35"
_OID_CRL_NUMBER: Final = "2.5.29.20"
OID_COMMON_NAME: Final = "2.5.4.3"

# keyUsage bits, RFC 5280 section 4.2.1.3
USAGE_DIGITAL_SIGNATURE = 0
USAGE_KEY_ENCIPHERMENT = 2
USAGE_KEY_AGREEMENT = 4
USAGE_CERT_SIGN = 5
USAGE_CRL_SIGN = 6

Hash = Literal["sha256", "sha384", "sha512"]


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """How a certificate or CRL is signed: ``rsa-pss`` (salt as long as the hash), ``rsa-pkcs1`` or ``ecdsa``."""

    kind: Literal["rsa-pss", "rsa-pkcs1", "ecdsa"]
    hash: Hash

    @property
    def name(self) -> str:
        """``rsa-pss-sha384`` and the like."""
        return f"{self.kind}-{self.hash}"


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: criticality and the bytes inside its OCTET STRING."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """A certificate as read, unverified. Times are Unix seconds; names and key are DER. Compares by identity; use ``digest``."""

    der: bytes = field(repr=False)
    digest: bytes  # SHA-256 of ``der``
    tbs: bytes = field(repr=False)
    algorithm: SignatureAlgorithm | None  # None: not on the allow-list
    signature: bytes = field(repr=False)
    serial: int
    issuer: bytes
    subject: bytes
    not_before: int
    not_after: int
    spki: bytes = field(repr=False)
    extensions: Mapping[str, Extension]
    critical: frozenset[str]  # which of the extensions are
    is_ca: bool
    path_length: int | None
    key_usage: frozenset[int] | None  # None: no such extension

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are the same name."""
        return self.subject == self.issuer


@dataclass(frozen=True, slots=True, eq=False)
class Crl:
    """A certificate revocation list as read, unverified: complete and direct (no deltas, no indirect entries)."""

    digest: bytes
    tbs: bytes = field(repr=False)
    algorithm: SignatureAlgorithm | None
    signature: bytes = field(repr=False)
    issuer: bytes
    this_update: int
    next_update: int
    revoked: frozenset[int]
    number: int | None


_Time = asn1.UTCTime | asn1.GeneralizedTime


@asn1.sequence
class _Signed:
    tbs: asn1.TLV
    algorithm: asn1.TLV
    signature: asn1.BitString


@asn1.sequence
class _Validity:
    not_before: _Time
    not_after: _Time


@asn1.sequence
class _Extension:
    oid: ObjectIdentifier
    critical: Annotated[bool, asn1.Default(False)]  # noqa: FBT003 - ASN.1's own word
    value: bytes


@asn1.sequence
class _TbsCertificate:
    version: Annotated[int, asn1.Explicit(0), asn1.Default(0)]
    serial: int
    algorithm: asn1.TLV
    issuer: asn1.TLV
    validity: _Validity
    subject: asn1.TLV
    spki: asn1.TLV
    issuer_id: Annotated[asn1.BitString | None, asn1.Implicit(1)]
    subject_id: Annotated[asn1.BitString | None, asn1.Implicit(2)]
    extensions: Annotated[list[_Extension] | None, asn1.Explicit(3)]


@asn1.sequence
class _Revoked:
    serial: int
    date: _Time
    extensions: list[_Extension] | None


@asn1.sequence
class _TbsCrl:
    version: int
    algorithm: asn1.TLV
    issuer: asn1.TLV
    this_update: _Time
    next_update: _Time
    revoked: list[_Revoked] | None
    extensions: Annotated[list[_Extension] | None, asn1.Explicit(0)]


@asn1.sequence
class _BasicConstraints:
    ca: Annotated[bool, asn1.Default(False)]  # noqa: FBT003 - ASN.1's own word
    path_length: int | None


@asn1.sequence
class _Attribute:
    oid: ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _NameInside:
    name: list[asn1.SetOf[_Attribute]]


def der_tlv(tag: int, content: bytes) -> bytes:
    """Encode one DER element with a single-byte tag."""
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - X.690 section 8.1.3.4, short form
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def der_end(data: bytes) -> int | None:
    """Return where the DER element at the start ends (X.690 section 8.1.3); ``None`` where there is none, or an empty one."""
    head, size = 2, data[1] if len(data) > 1 else 0
    if size >= 0x80:  # noqa: PLR2004 - X.690 section 8.1.3.5, long form
        head += size - 0x80
        if head > 6:  # noqa: PLR2004 - nothing that is read here has a longer length
            return None
        size = int.from_bytes(data[2:head], "big")
    return head + size if 0 < size <= len(data) - head else None


def _raw(element: asn1.TLV) -> bytes:
    """Give an element back as the bytes it was read from: DER has one encoding only."""
    return der_tlv(element.tag_bytes[0], bytes(element.data))


_RSA = bytes.fromhex("2a864886f70d0101")  # 1.2.840.113549.1.1
_HASHES: Mapping[Hash, tuple[bytes, int, bytes, bytes]] = MappingProxyType(
    {  # NIST OID, size, last byte of sha*WithRSAEncryption, last byte of ecdsa-with-SHA*
        "sha256": (bytes.fromhex("608648016503040201"), 32, b"\x0b", b"\x02"),
        "sha384": (bytes.fromhex("608648016503040202"), 48, b"\x0c", b"\x03"),
        "sha512": (bytes.fromhex("608648016503040203"), 64, b"\x0d", b"\x04"),
    }
)


def _algorithms() -> Iterator[tuple[bytes, SignatureAlgorithm]]:
    """List every AlgorithmIdentifier that is allowed, as bytes: nothing is parsed, so nothing can be parsed wrongly.

    RSASSA-PSS (RFC 4055 section 3.1) has several: hash parameters NULL or absent, the default trailer field written or not.
    """
    null = b"\x05\x00"
    for name, (oid, size, rsa, ecdsa) in _HASHES.items():
        yield der_tlv(0x30, der_tlv(6, _RSA + rsa) + null), SignatureAlgorithm("rsa-pkcs1", name)
        yield (
            der_tlv(0x30, der_tlv(6, bytes.fromhex("2a8648ce3d0403") + ecdsa)),
            SignatureAlgorithm("ecdsa", name),
        )
        for hash_null in (b"", null):
            for mask_null in (b"", null):
                for trailer in (b"", b"\xa3\x03\x02\x01\x01"):
                    inner = der_tlv(0x30, der_tlv(6, oid) + mask_null)
                    parameters = (
                        der_tlv(0xA0, der_tlv(0x30, der_tlv(6, oid) + hash_null))
                        + der_tlv(0xA1, der_tlv(0x30, der_tlv(6, _RSA + b"\x08") + inner))
                        + der_tlv(0xA2, bytes((2, 1, size)))
                        + trailer
                    )
                    whole = der_tlv(0x30, der_tlv(6, _RSA + b"\x0a") + der_tlv(0x30, parameters))
                    yield whole, SignatureAlgorithm("rsa-pss", name)


_ALGORITHMS: Mapping[bytes, SignatureAlgorithm] = MappingProxyType(dict(_algorithms()))


def _seconds(time: asn1.UTCTime | asn1.GeneralizedTime) -> int:
    return int(time.as_datetime().replace(tzinfo=dt.UTC).timestamp())


def _extensions(listed: list[_Extension] | None, what: str) -> Mapping[str, Extension]:
    table: dict[str, Extension] = {}
    for extension in listed or ():
        oid = extension.oid.dotted_string
        if oid in table:
            raise ValueError(f"{what}.extensions: {oid} twice")
        table[oid] = Extension(extension.critical, extension.value)
    return MappingProxyType(table)


def _signed(der: bytes, cap: int, what: str) -> tuple[bytes, asn1.TLV, bytes, bytes]:
    """Split what is signed from its signature: the element, its algorithm, signature, SHA-256 of the whole."""
    if len(der) > cap:
        raise ValueError(f"{what}: got {len(der)} bytes, want at most {cap}")
    outer = asn1.decode_der(_Signed, der)
    if outer.signature.padding_bits():
        raise ValueError(f"{what}.signature: spare bits")
    return _raw(outer.tbs), outer.algorithm, outer.signature.as_bytes(), hashlib.sha256(der).digest()


def _same_algorithm(inner: asn1.TLV, outer: asn1.TLV, what: str) -> SignatureAlgorithm | None:
    raw = _raw(outer)
    if _raw(inner) != raw:
        raise ValueError(f"{what}.signatureAlgorithm: inner and outer differ")
    return _ALGORITHMS.get(raw)


def _serial(serial: int, what: str) -> int:
    if serial < 0 or serial.bit_length() > 8 * _MAX_SERIAL:
        raise ValueError(f"{what}.serialNumber: want 0 or more in at most {_MAX_SERIAL} octets")
    return serial


def _constraints(extensions: Mapping[str, Extension]) -> tuple[bool, int | None]:
    extension = extensions.get(OID_BASIC_CONSTRAINTS)
    if extension is None:
        return False, None
    read = asn1.decode_der(_BasicConstraints, extension.value)
    if read.path_length is not None and (read.path_length < 0 or not read.ca):
        raise ValueError("certificate.basicConstraints: path length without CA, or negative")
    return read.ca, read.path_length


def _usage(extensions: Mapping[str, Extension]) -> frozenset[int] | None:
    extension = extensions.get(OID_KEY_USAGE)
    if extension is None:
        return None
    bits = asn1.decode_der(asn1.BitString, extension.value).as_bytes()
    return frozenset(i for i in range(8 * len(bits)) if bits[i // 8] & (0x80 >> i % 8))


@lru_cache(maxsize=1024)
def _read_certificate(der: bytes) -> Certificate:
    tbs, outer, signature, digest = _signed(der, MAX_CERTIFICATE, "certificate")
    read = asn1.decode_der(_TbsCertificate, tbs)
    if read.version not in (0, 2) or (read.version == 0 and read.extensions is not None):
        raise ValueError(f"certificate.version: got {read.version + 1}, want 3 (or 1 without extensions)")
    extensions = _extensions(read.extensions, "certificate")
    is_ca, path_length = _constraints(extensions)
    return Certificate(
        der=der,
        digest=digest,
        tbs=tbs,
        algorithm=_same_algorithm(read.algorithm, outer, "certificate"),
        signature=signature,
        serial=_serial(read.serial, "certificate"),
        issuer=_raw(read.issuer),
        subject=_raw(read.subject),
        not_before=_seconds(read.validity.not_before),
        not_after=_seconds(read.validity.not_after),
        spki=_raw(read.spki),
        extensions=extensions,
        critical=frozenset(oid for oid, extension in extensions.items() if extension.critical),
        is_ca=is_ca,
        path_length=path_length,
        key_usage=_usage(extensions),
    )


@lru_cache(maxsize=128)
def _read_crl(der: bytes) -> Crl:
    tbs, outer, signature, digest = _signed(der, MAX_CRL, "CRL")
    read = asn1.decode_der(_TbsCrl, tbs)
    if read.version != 1:
        raise ValueError(f"CRL.version: got {read.version + 1}, want 2")
    extensions = _extensions(read.extensions, "CRL")
    # An issuing distribution point or a delta indicator narrows what the list says; both are critical (RFC 5280 section 5.2).
    for oid, extension in extensions.items():
        if extension.critical:
            raise ValueError(f"CRL.extensions: critical {oid}, want a complete and direct list")
    for entry in read.revoked or ():
        if any(extension.critical for extension in entry.extensions or ()):
            raise ValueError(f"CRL.revoked: critical extension at serial {entry.serial:#x}")
    number = extensions.get(_OID_CRL_NUMBER)
    return Crl(
        digest=digest,
        tbs=tbs,
        algorithm=_same_algorithm(read.algorithm, outer, "CRL"),
        signature=signature,
        issuer=_raw(read.issuer),
        this_update=_seconds(read.this_update),
        next_update=_seconds(read.next_update),
        revoked=frozenset(_serial(entry.serial, "CRL.revoked") for entry in read.revoked or ()),
        number=None if number is None else asn1.decode_der(int, number.value),
    )


def parse_certificate(der: bytes, check_id: str, what: str = "certificate") -> Certificate:
    """Read one DER certificate; ``MalformedEvidence(check_id)`` for anything else. Cached by its bytes."""
    try:
        return _read_certificate(der)
    except (ValueError, OverflowError) as error:
        raise MalformedEvidence(check_id, f"{what}: not a certificate: {error}") from None


def parse_crl(der: bytes, check_id: str, what: str = "CRL") -> Crl:
    """Read one DER CRL; ``MalformedEvidence(check_id)`` for anything else. Cached by its bytes."""
    try:
        return _read_crl(der)
    except (ValueError, OverflowError) as error:
        raise MalformedEvidence(check_id, f"{what}: not a CRL: {error}") from None


def relative_names(name: bytes) -> list[list[tuple[str, bytes]]]:
    """Return a DER Name's sets of attributes (OID, bytes of the text), in order; ``ValueError`` for what is no Name (X.501)."""
    # ``decode_der`` wants a class at the top, so the Name goes into a sequence of one.
    sets = asn1.decode_der(_NameInside, der_tlv(0x30, name)).name
    return [[(one.oid.dotted_string, bytes(one.value.data)) for one in some.as_list()] for some in sets]


@lru_cache(maxsize=256)
def common_name(name: bytes) -> str | None:
    """Return the one commonName of a DER Name, ``None`` without one or with several (X.501)."""
    try:
        found = [text.decode("utf-8") for some in relative_names(name) for oid, text in some if oid == OID_COMMON_NAME]
    except ValueError:
        return None
    return found[0] if len(found) == 1 else None
