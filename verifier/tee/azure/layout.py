"""The HCL report of NV index 0x01400001 as tables, and the TDREPORT that it may hold. Little-endian; both directions.

Source: Microsoft, *Azure confidential VM guest attestation design detail* (structures of the attestation report and the runtime
data); Intel *TDX Module Base Architecture Specification*, TDREPORT_STRUCT, TDINFO_STRUCT. Every offset
was read from genuine reports. Decoders raise ``MalformedEvidence`` and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from verifier.formats.errors import MalformedEvidence
from verifier.formats.layout import Field, Layout

HEADER_SIZE: Final = 32
HARDWARE_SIZE: Final = 1184  # an SNP report; a TDREPORT of 1024 and zeros
REQUEST_HEAD_SIZE: Final = 20
TDREPORT_SIZE: Final = 1024
# The NV index's own size, now and in older dumps: zeros after the report.
PADDED_SIZES: Final = (2600, 2048)
HASH_SHA256, HASH_SHA384, HASH_SHA512 = 1, 2, 3
REPORT_SNP: Final = 2
REPORT_TDX: Final = 4

_MAGIC: Final = b"HCLA"
_REQUEST_TYPE: Final = 2
_STATUS_OK: Final = 0
_VERSIONS: Final = (1, 2)
_DATA_VERSION: Final = 1
_KINDS: Final = {REPORT_SNP: "SNP", REPORT_TDX: "TDX"}
_ANY: Final = "azure.decode"

_HEADER_FIELDS: Final = (
    Field("magic", 0, 4),
    Field("version", 4, 4, "le"),
    Field("report_size", 8, 4, "le"),
    Field("request_type", 12, 4, "le"),
    Field("status", 16, 4, "le"),
    Field("reserved_20", 20, 12, "zero"),
)
_REQUEST_FIELDS: Final = (
    Field("data_size", 0, 4, "le"),
    Field("data_version", 4, 4, "le"),
    Field("report_type", 8, 4, "le"),
    Field("hash_type", 12, 4, "le"),
    Field("json_size", 16, 4, "le"),
)
# TDREPORT_STRUCT: REPORTMACSTRUCT (0..255), TEE_TCB_INFO (256..494), TDINFO_STRUCT (512..1023).
TDREPORT_FIELDS: Final = (
    Field("report_type", 0, 4),
    Field("reserved_4", 4, 12, "zero"),
    Field("cpu_svn", 16, 16),
    Field("tee_tcb_info_hash", 32, 48),
    Field("tee_info_hash", 80, 48),
    Field("report_data", 128, 64),
    Field("reserved_192", 192, 32, "zero"),
    Field("mac", 224, 32),
    Field("valid", 256, 8),
    Field("tee_tcb_svn", 264, 16),
    Field("mrseam", 280, 48),
    Field("mrsignerseam", 328, 48),
    Field("seam_attributes", 376, 8),
    Field("tee_tcb_svn2", 384, 16),
    Field("tcb_rest", 400, 95),
    Field("reserved_495", 495, 17, "zero"),
    Field("attributes", 512, 8),
    Field("xfam", 520, 8),
    Field("mrtd", 528, 48),
    Field("mrconfigid", 576, 48),
    Field("mrowner", 624, 48),
    Field("mrownerconfig", 672, 48),
    Field("rtmr0", 720, 48),
    Field("rtmr1", 768, 48),
    Field("rtmr2", 816, 48),
    Field("rtmr3", 864, 48),
    Field("servtd_hash", 912, 48),
    Field("info_rest", 960, 64),
)
TEE_TCB_INFO: Final = (256, 495)
TDINFO: Final = (512, 1024)
_TDX_TYPE: Final = 0x81

# Names for the bins of the composites' rules.
HCL_FIELDS: Final = tuple(f"hcl.{field.name}" for field in (*_HEADER_FIELDS, *_REQUEST_FIELDS) if field.kind != "zero")
TDREPORT_NAMES: Final = tuple(f"tdreport.{field.name}" for field in TDREPORT_FIELDS if field.kind != "zero")


@dataclass(frozen=True, slots=True)
class RuntimeData:
    """The request-data part: what kind of report was asked for, by which hash it binds the JSON, the JSON's exact bytes."""

    report_type: int
    hash_type: int
    json: bytes

    @property
    def data_size(self) -> int:
        """Size of this part without padding."""
        return REQUEST_HEAD_SIZE + len(self.json)


@dataclass(frozen=True, slots=True)
class HclReport:
    """An HCL report, unverified. ``hardware`` is the CPU's own report: 1184 bytes of SNP, or 1024 of TDX with its zeros taken off."""

    version: int
    request_type: int
    status: int
    hardware: bytes
    runtime: RuntimeData
    padding: int  # zeros after it

    @property
    def report_size(self) -> int:
        """What the header says: header, hardware report and request data."""
        return HEADER_SIZE + HARDWARE_SIZE + self.runtime.data_size


def _header(check_id: str) -> Layout:
    return Layout("hcl_report", HEADER_SIZE, _HEADER_FIELDS, check_id=check_id)


def _request(check_id: str) -> Layout:
    return Layout("runtime_data", REQUEST_HEAD_SIZE, _REQUEST_FIELDS, check_id=check_id)


def _want(check_id: str, field: str, got: object, want: object) -> None:
    if got != want:
        raise MalformedEvidence(check_id, f"hcl_report.{field}: got {got!r}, want {want!r}")


def decode_runtime_data(data: bytes, *, report_type: int, check_id: str) -> tuple[RuntimeData, bytes]:
    """Read the request-data part at the start of ``data``; returns it and what stands after it, which has to be zeros."""
    head: dict[str, Any] = _request(check_id).decode(data[:REQUEST_HEAD_SIZE])
    _want(check_id, "data_version", head["data_version"], _DATA_VERSION)
    got, want = (_KINDS.get(kind, kind) for kind in (head["report_type"], report_type))
    _want(check_id, "report_type", got, want)
    if head["hash_type"] not in (HASH_SHA256, HASH_SHA384, HASH_SHA512):
        raise MalformedEvidence(check_id, f"hcl_report.hash_type: got {head['hash_type']}, want 1, 2 or 3")
    end = REQUEST_HEAD_SIZE + head["json_size"]
    _want(check_id, "data_size", head["data_size"], end)
    if not head["json_size"] or end > len(data):
        raise MalformedEvidence(check_id, f"hcl_report.json: got {len(data)} bytes, want {end}")
    if any(data[end:]):
        raise MalformedEvidence(check_id, f"hcl_report: got bytes after its {end}, want zeros")
    return RuntimeData(report_type, head["hash_type"], data[REQUEST_HEAD_SIZE:end]), data[end:]


def decode_hcl(data: bytes, *, report_type: int, check_id: str) -> HclReport:
    """Read an HCL report, padded with zeros to one of ``PADDED_SIZES``."""
    if len(data) not in PADDED_SIZES:
        raise MalformedEvidence(
            check_id, f"hcl_report: got {len(data)} bytes, want {PADDED_SIZES[0]} or {PADDED_SIZES[1]}"
        )
    head: dict[str, Any] = _header(check_id).decode(data[:HEADER_SIZE])
    _want(check_id, "magic", head["magic"], _MAGIC)
    if head["version"] not in _VERSIONS:
        raise MalformedEvidence(check_id, f"hcl_report.version: got {head['version']}, want 1 or 2")
    _want(check_id, "request_type", head["request_type"], _REQUEST_TYPE)
    _want(check_id, "status", head["status"], _STATUS_OK)
    hardware = data[HEADER_SIZE : HEADER_SIZE + HARDWARE_SIZE]
    if report_type == REPORT_TDX:
        if any(hardware[TDREPORT_SIZE:]):
            raise MalformedEvidence(check_id, "hcl_report.hardware: got bytes after the TDREPORT, want zeros")
        hardware = hardware[:TDREPORT_SIZE]
    rest = data[HEADER_SIZE + HARDWARE_SIZE :]
    runtime, padding = decode_runtime_data(rest, report_type=report_type, check_id=check_id)
    report = HclReport(head["version"], head["request_type"], head["status"], hardware, runtime, len(padding))
    _want(check_id, "report_size", head["report_size"], report.report_size)
    return report


def encode_runtime_data(runtime: RuntimeData) -> bytes:
    """Write the request-data part, without padding."""
    values: dict[str, bytes | int] = {
        "data_size": runtime.data_size,
        "data_version": _DATA_VERSION,
        "report_type": runtime.report_type,
        "hash_type": runtime.hash_type,
        "json_size": len(runtime.json),
    }
    return _request(_ANY).encode(values) + runtime.json


def encode_hcl(report: HclReport) -> bytes:
    """Write a report back with its padding; the inverse of ``decode_hcl``."""
    values: dict[str, bytes | int] = {
        "magic": _MAGIC,
        "version": report.version,
        "report_size": report.report_size,
        "request_type": report.request_type,
        "status": report.status,
    }
    body = encode_runtime_data(report.runtime)
    return _header(_ANY).encode(values) + report.hardware.ljust(HARDWARE_SIZE, b"\0") + body + bytes(report.padding)


def make_hcl(hardware: bytes, json: bytes, *, report_type: int, version: int = 2) -> bytes:
    """Write a report of today's padded size around a hardware report and runtime claims."""
    runtime = RuntimeData(report_type, HASH_SHA256, json)
    used = HEADER_SIZE + HARDWARE_SIZE + runtime.data_size
    return encode_hcl(HclReport(version, _REQUEST_TYPE, _STATUS_OK, hardware, runtime, PADDED_SIZES[0] - used))


def tdreport_layout(check_id: str) -> Layout:
    """Return the TDREPORT's table, failing under this id."""
    return Layout("tdreport", TDREPORT_SIZE, TDREPORT_FIELDS, check_id=check_id)


def decode_tdreport(data: bytes, *, check_id: str) -> dict[str, bytes]:
    """Read a TDREPORT of 1024 bytes, field by field, as bytes. Its hashes and MAC are not checked here."""
    values: dict[str, Any] = tdreport_layout(check_id).decode(data)
    if values["report_type"][0] != _TDX_TYPE:
        raise MalformedEvidence(check_id, f"tdreport.type: got {values['report_type'][0]:#x}, want {_TDX_TYPE:#x}")
    return values
