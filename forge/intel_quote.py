"""Writing quotes: versions 3, 4 and 5, every body, every certification data type, and every length that can be wrong.

The tables are ``verifier.tee.dcap.layout``'s; what stands between them follows Intel's *SGX DCAP Quote
Library API* and *TDX DCAP Quote Generation Library and Quote Verification Library*, appendix "Quote format".
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from forge.intel_documents import raw_signature
from verifier.formats.layout import Layout
from verifier.tee.dcap import layout

Values = Mapping[str, bytes | int]

AUTH_DATA: Final = bytes(range(32))  # what Intel's QE writes
_BODY_OF_VERSION: Final = {3: layout.BODY_SGX}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Everything about a quote but its body's fields. What is left alone is wholesome.

    ``certification`` is a type whose data the platform makes, or a type with any data. ``sizes`` overrides lengths as written:
    ``body`` (version 5), ``signature``, ``outer`` (type 6), ``auth``, ``certification``. Keys override who signs.
    """

    version: int | None = None
    body_type: int | None = None
    header: Values = field(default_factory=dict)
    body: bytes | None = None
    qe: Values = field(default_factory=dict)
    auth_data: bytes = AUTH_DATA
    certification: int | tuple[int, bytes] = layout.CERT_PCK_CHAIN
    outer_type: int = layout.CERT_QE_REPORT
    padding: bytes = b""
    sizes: Mapping[str, int] = field(default_factory=dict)
    signed_by: ec.EllipticCurvePrivateKey | None = None
    qe_signed_by: ec.EllipticCurvePrivateKey | None = None
    attestation_public: bytes | None = None
    written_body_type: int | None = None  # version 5: what stands before the body, whatever follows


def raw_public(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return x and y, big-endian, 64 bytes."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def zeros_of(table: Layout) -> dict[str, bytes | int]:
    """Return every field of a structure, zero."""
    return {f.name: bytes(f.size) if f.kind == "bytes" else 0 for f in table.fields if f.kind != "zero"}


def qe_report_data(attestation_public: bytes, auth_data: bytes) -> bytes:
    """Return what a QE writes into its report: SHA-256 of key and auth data, and 32 zeros."""
    return hashlib.sha256(attestation_public + auth_data).digest() + bytes(32)


@dataclass(frozen=True, slots=True)
class Quoting:
    """Who makes a quote: the fields of header, body and QE report, the keys, and certification data by type."""

    version: int
    body_type: int
    header: Values
    body: Values
    qe: Values
    attestation_key: ec.EllipticCurvePrivateKey
    pck_key: ec.EllipticCurvePrivateKey
    certification: Mapping[int, bytes]


def write_quote(who: Quoting, shape: Shape) -> bytes:
    """Write and sign a quote in that shape."""
    signed = _signed_part(who, shape)
    key = shape.signed_by or who.attestation_key
    public = raw_public(who.attestation_key) if shape.attestation_public is None else shape.attestation_public
    qe_values = {**who.qe, "report_data": qe_report_data(public, shape.auth_data), **shape.qe}
    report = layout.SGX_REPORT.encode(qe_values)
    kind, data = _certification(who, shape)
    qe_part = b"".join(
        (
            report,
            raw_signature(shape.qe_signed_by or who.pck_key, report),
            struct.pack("<H", shape.sizes.get("auth", len(shape.auth_data))),
            shape.auth_data,
            struct.pack("<HI", kind, shape.sizes.get("certification", len(data))),
            data,
        )
    )
    if who.version != 3:  # noqa: PLR2004 - the version that wraps nothing
        qe_part = struct.pack("<HI", shape.outer_type, shape.sizes.get("outer", len(qe_part))) + qe_part
    signature = raw_signature(key, signed) + public + qe_part
    return signed + struct.pack("<I", shape.sizes.get("signature", len(signature))) + signature + shape.padding


def _signed_part(who: Quoting, shape: Shape) -> bytes:
    table = layout.BODIES[who.body_type]
    body = table.encode(who.body) if shape.body is None else shape.body
    head = b""
    if who.version == 5:  # noqa: PLR2004 - the version that says what its body is
        written = who.body_type if shape.written_body_type is None else shape.written_body_type
        head = struct.pack("<HI", written, shape.sizes.get("body", len(body)))
    return layout.HEADER.encode({**who.header, **shape.header}) + head + body


def _certification(who: Quoting, shape: Shape) -> tuple[int, bytes]:
    if isinstance(shape.certification, int):
        return shape.certification, who.certification[shape.certification]
    return shape.certification
