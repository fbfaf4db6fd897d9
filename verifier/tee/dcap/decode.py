"""Bytes to a quote and back: SGX and TDX, versions 3, 4 and 5. Proves nothing.

Every inner length is checked against the outer one. Quote buffers are often larger than the quote: zeros after it are
padding, kept so that ``encode`` gives the same bytes; anything else after it is refused.
Source: Intel *SGX/TDX DCAP Quote Library API*, appendix "Quote format"; tables in ``layout``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from verifier.formats.errors import MalformedEvidence
from verifier.tee.dcap import layout

MAX_QUOTE: Final = 64 * 1024
MAX_AUTH_DATA: Final = 4 * 1024
MAX_CERTIFICATION_DATA: Final = 48 * 1024

_U32: Final = struct.Struct("<I")
_TYPE_SIZE: Final = struct.Struct("<HI")
_U16: Final = struct.Struct("<H")


@dataclass(frozen=True, slots=True, kw_only=True)
class SgxReport:
    """An SGX report body, unverified; fields as in ``layout.SGX_REPORT``."""

    cpusvn: bytes
    miscselect: int
    cet_attributes: int
    isvextprodid: bytes
    attributes: bytes
    mrenclave: bytes
    mrsigner: bytes
    configid: bytes
    isvprodid: int
    isvsvn: int
    configsvn: int
    isvfamilyid: bytes
    report_data: bytes

    @property
    def flags(self) -> int:
        """ATTRIBUTES.FLAGS."""
        return int.from_bytes(self.attributes[:8], "little")

    @property
    def is_debug(self) -> bool:
        """The program that launched the enclave reads and writes its memory."""
        return bool(self.flags >> layout.SGX_DEBUG & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TdReport:
    """A TD report body, unverified; fields as in ``layout.TD_REPORT_*``, ``None`` where the body's version has none."""

    tee_tcb_svn: bytes
    mrseam: bytes
    mrsignerseam: bytes
    seamattributes: bytes
    tdattributes: bytes
    xfam: bytes
    mrtd: bytes
    mrconfigid: bytes
    mrowner: bytes
    mrownerconfig: bytes
    rtmr0: bytes
    rtmr1: bytes
    rtmr2: bytes
    rtmr3: bytes
    report_data: bytes
    tee_tcb_svn2: bytes | None = None
    mrservicetd: bytes | None = None
    vmid: bytes | None = None
    tdid: bytes | None = None
    devinfo: bytes | None = None
    init_servtd_hash: bytes | None = None
    init_servtd_attr: bytes | None = None
    init_cpusvn: bytes | None = None
    init_tee_tcb_svn: bytes | None = None
    init_tee_fmspc: bytes | None = None
    cur_servtd_hash: bytes | None = None
    cur_servtd_attr: bytes | None = None

    def attribute(self, bit: int) -> bool:
        """Tell whether a bit of TDATTRIBUTES is set."""
        return bool(int.from_bytes(self.tdattributes, "little") >> bit & 1)

    @property
    def is_debug(self) -> bool:
        """A bit of the group TUD is set: the host reads and writes the TD's memory, or may."""
        return self.tdattributes[0] != 0

    @property
    def rtmrs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """RTMR0 to RTMR3."""
        return self.rtmr0, self.rtmr1, self.rtmr2, self.rtmr3


Body: TypeAlias = SgxReport | TdReport
_RECORDS: Final[Mapping[int, Callable[..., Body]]] = {
    layout.BODY_SGX: SgxReport,
    layout.BODY_TD_10: TdReport,
    layout.BODY_TD_15: TdReport,
    layout.BODY_TD_15_EXTENDED: TdReport,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """One quote, unverified. ``signed`` is what the attestation key signed, ``qe_report_raw`` what the PCK signed."""

    version: int
    att_key_type: int
    tee_type: int
    qe_svn: int
    pce_svn: int
    qe_vendor_id: bytes
    user_data: bytes
    body_type: int
    body: Body
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report: SgxReport
    qe_report_raw: bytes
    qe_report_signature: bytes
    qe_auth_data: bytes
    certification_type: int
    certification_data: bytes
    padding: int  # zero bytes after the quote


class _Cursor:
    """Reads forward through one region; an overrun is ``ValueError``, turned into the one exception at the edge."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data, self.position, self.end = data, position, end

    def take(self, count: int, field: str) -> bytes:
        start = self.position
        stop = start + count
        if stop > self.end:
            raise ValueError(f"{field}: got {self.end - start} bytes, want {count}")
        self.position = stop
        return self.data[start:stop]

    def sized(self, cap: int, field: str) -> tuple[int, bytes]:
        """Read type u16, size u32 and that many bytes."""
        kind, size = _TYPE_SIZE.unpack(self.take(6, f"{field}.size"))
        if size > cap:
            raise ValueError(f"{field}: got {size} bytes, want at most {cap}")
        return kind, self.take(size, field)

    def finish(self, field: str) -> None:
        if self.position != self.end:
            raise ValueError(f"{field}: got {self.end - self.position} bytes more than its parts, want none")


def decode_quote(data: bytes, check_id: str, tees: frozenset[int]) -> Quote:
    """Decode a quote of one of ``tees`` (TEE types). Raises ``MalformedEvidence(check_id)`` and nothing else."""
    try:
        return _decode(data, tees)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"quote: {error}") from None
    except MalformedEvidence as error:  # from a table, which does not know whose quote it reads
        raise MalformedEvidence(check_id, error.detail) from None


def _decode(data: bytes, tees: frozenset[int]) -> Quote:
    if len(data) > MAX_QUOTE:
        raise ValueError(f"got {len(data)} bytes, want at most {MAX_QUOTE}")
    cursor = _Cursor(data, 0, len(data))
    header, body_type, body = _front(cursor, tees)
    signed = data[: cursor.position]
    size = _U32.unpack(cursor.take(4, "signature part.size"))[0]
    part = _Cursor(data, cursor.position, cursor.position + size)
    cursor.take(size, "signature part")
    padding = len(data) - cursor.position
    if padding and data.count(0, cursor.position) != padding:
        raise ValueError(f"after the quote: got {padding} bytes that are not all zero, want none or zeros")
    return Quote(**header, body_type=body_type, body=body, signed=signed, **_signature(part, header), padding=padding)


def _front(cursor: _Cursor, tees: frozenset[int]) -> tuple[dict[str, Any], int, Body]:
    header = cast("dict[str, Any]", layout.HEADER.decode(cursor.take(layout.HEADER_SIZE, "header")))
    if header["version"] not in layout.VERSIONS:
        raise ValueError(f"version: got {header['version']}, want one of {layout.VERSIONS}")
    if header["att_key_type"] != layout.ATTESTATION_KEY_P256:
        raise ValueError(f"att_key_type: got {header['att_key_type']}, want 2 (ECDSA P-256)")
    if header["tee_type"] not in tees:
        raise ValueError(f"tee_type: got {header['tee_type']:#x}, want one of {sorted(map(hex, tees))}")
    body_type = _body_type(cursor, header)
    table = layout.BODIES[body_type]
    return header, body_type, _RECORDS[body_type](**table.decode(cursor.take(table.size, table.name)))


def decode_front(data: bytes, check_id: str) -> tuple[Mapping[str, Any], int, Body]:
    """Decode header and body of a quote whose rest may be broken, for telling people what it says: header, body type, body."""
    try:
        return _front(_Cursor(data, 0, len(data)), frozenset({layout.TEE_SGX, layout.TEE_TDX}))
    except ValueError as error:
        raise MalformedEvidence(check_id, f"quote: {error}") from None


def _body_type(cursor: _Cursor, header: Mapping[str, Any]) -> int:
    """Return what body follows; version 5 says it, with a size that has to be its own."""
    version, is_sgx = header["version"], header["tee_type"] == layout.TEE_SGX
    if version == 3 and not is_sgx:  # noqa: PLR2004 - the version is the fact
        raise ValueError(f"tee_type: got {header['tee_type']:#x} in version 3, want 0")
    if version != 5:  # noqa: PLR2004 - the version is the fact
        return layout.BODY_SGX if is_sgx else layout.BODY_TD_10
    body_type, size = _TYPE_SIZE.unpack(cursor.take(layout.BODY_HEAD_SIZE, "body type and size"))
    table = layout.BODIES.get(body_type)
    if table is None or (body_type == layout.BODY_SGX) != is_sgx:
        raise ValueError(f"body type: got {body_type} with TEE type {header['tee_type']:#x}, want 1 (SGX) or 2-4 (TDX)")
    if size != table.size:
        raise ValueError(f"body size: got {size}, want {table.size} for type {body_type}")
    return int(body_type)


def _signature(part: _Cursor, header: Mapping[str, Any]) -> dict[str, Any]:
    signature = part.take(layout.SIGNATURE_SIZE, "signature")
    key = part.take(layout.KEY_SIZE, "attestation key")
    inner = part
    if header["version"] > 3:  # noqa: PLR2004 - version 3 has the QE's part unwrapped
        kind, size = _TYPE_SIZE.unpack(part.take(6, "QE certification data.size"))
        if kind != layout.CERT_QE_REPORT:
            raise ValueError(f"certification data type: got {kind}, want 6 (QE report)")
        inner = _Cursor(part.data, part.position, part.position + size)
        part.take(size, "QE certification data")
        part.finish("signature part")
    qe_report = inner.take(layout.SGX_REPORT_SIZE, "QE report")
    qe_signature = inner.take(layout.SIGNATURE_SIZE, "QE report signature")
    auth_size = _U16.unpack(inner.take(2, "auth data.size"))[0]
    if auth_size > MAX_AUTH_DATA:
        raise ValueError(f"auth data: got {auth_size} bytes, want at most {MAX_AUTH_DATA}")
    auth_data = inner.take(auth_size, "auth data")
    kind, certification = inner.sized(MAX_CERTIFICATION_DATA, "certification data")
    inner.finish("certification data")
    _check_certification(kind, certification)
    return {
        "signature": signature,
        "attestation_key": key,
        "qe_report": SgxReport(**cast("dict[str, Any]", layout.SGX_REPORT.decode(qe_report))),
        "qe_report_raw": qe_report,
        "qe_report_signature": qe_signature,
        "qe_auth_data": auth_data,
        "certification_type": kind,
        "certification_data": certification,
    }


def _check_certification(kind: int, data: bytes) -> None:
    """Types 1 to 3 have a fixed size; 4, 5 and 7 are read later or not at all; 6 only holds the others."""
    ppid = layout.PPID_SIZES.get(kind)
    if ppid is not None and len(data) != ppid + layout.PLATFORM_ID_TAIL:
        raise ValueError(f"certification data: got {len(data)} bytes, want {ppid + layout.PLATFORM_ID_TAIL} for {kind}")
    if ppid is None and kind not in (layout.CERT_PCK_LEAF, layout.CERT_PCK_CHAIN, layout.CERT_PLATFORM_MANIFEST):
        raise ValueError(f"certification data type: got {kind}, want 1 to 5, or 7")
    if not data and kind in (layout.CERT_PCK_LEAF, layout.CERT_PCK_CHAIN):
        raise ValueError(f"certification data: got 0 bytes, want certificates for {kind}")


def encode_quote(quote: Quote) -> bytes:
    """Write a quote back; the inverse of ``decode_quote``."""
    table = layout.BODIES[quote.body_type]
    body = table.encode({f.name: getattr(quote.body, f.name) for f in table.fields if f.kind != "zero"})
    head = layout.HEADER.encode({f.name: getattr(quote, f.name) for f in layout.HEADER.fields})
    if quote.version == 5:  # noqa: PLR2004 - the version is the fact
        head += _TYPE_SIZE.pack(quote.body_type, table.size)
    qe = layout.SGX_REPORT.encode(
        {f.name: getattr(quote.qe_report, f.name) for f in layout.SGX_REPORT.fields if f.kind != "zero"}
    )
    inner = qe + quote.qe_report_signature + _U16.pack(len(quote.qe_auth_data)) + quote.qe_auth_data
    inner += _TYPE_SIZE.pack(quote.certification_type, len(quote.certification_data)) + quote.certification_data
    if quote.version > 3:  # noqa: PLR2004 - version 3 has the QE's part unwrapped
        inner = _TYPE_SIZE.pack(layout.CERT_QE_REPORT, len(inner)) + inner
    part = quote.signature + quote.attestation_key + inner
    return head + body + _U32.pack(len(part)) + part + bytes(quote.padding)


@dataclass(frozen=True, slots=True)
class PlatformId:
    """What certification data of types 1 to 3 say of the platform, for asking Intel for its PCK certificate."""

    ppid: bytes  # plain (type 1) or encrypted (2, 3)
    cpusvn: bytes
    pcesvn: bytes  # as it stands, little-endian
    pceid: bytes


def platform_id(quote: Quote) -> PlatformId | None:
    """Read certification data of types 1 to 3; ``None`` for the others."""
    size = layout.PPID_SIZES.get(quote.certification_type)
    if size is None:
        return None
    data = quote.certification_data
    return PlatformId(data[:size], data[size : size + 16], data[size + 16 : size + 18], data[size + 18 : size + 20])
