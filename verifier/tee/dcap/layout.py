"""Intel's ECDSA quote as tables: header, SGX report body, TD report bodies 1.0, 1.5 and 1.5 extended; little-endian.

Source: Intel *SGX/TDX DCAP Quote Library API*, appendix "Quote format" (versions 3, 4, 5); Intel SDM volume 3D, table "REPORT";
*TDX Module ABI specification*, "TD report". All but the extended body were read from genuine quotes.

A quote is ``header | [v5: body type u16, body size u32] | body | signature part size u32 | signature part | zero padding``.
The signature covers all before the signature part's size. The signature part, version 3::

    signature 64 | attestation key 64 | QE report 384 | QE report signature 64 | auth data | certification data

versions 4 and 5::

    signature 64 | attestation key 64 | type u16 = 6, size u32 of what follows:
        QE report 384 | QE report signature 64 | auth data | certification data

``auth data`` is u16 size and bytes, ``certification data`` u16 type, u32 size and bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.formats.layout import Field, Layout

DECODE_ID: Final = "decode.quote"  # with the scheme's name before it: ``decode.Quote`` adds it

HEADER_SIZE: Final = 48
VERSIONS: Final = (3, 4, 5)
ATTESTATION_KEY_P256: Final = 2
TEE_SGX: Final = 0
TEE_TDX: Final = 0x81
QE_VENDOR_INTEL: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")

BODY_SGX: Final = 1
BODY_TD_10: Final = 2
BODY_TD_15: Final = 3
BODY_TD_15_EXTENDED: Final = 4
BODY_HEAD_SIZE: Final = 6  # version 5: type u16, size u32, both signed

SIGNATURE_SIZE: Final = 64  # r and s, big-endian
KEY_SIZE: Final = 64  # x and y, big-endian
SGX_REPORT_SIZE: Final = 384
TD_REPORT_10_SIZE: Final = 584
TD_REPORT_15_SIZE: Final = 648
TD_REPORT_15_EXTENDED_SIZE: Final = 885

# Certification data types.
CERT_PPID: Final = 1
CERT_PPID_RSA_2048: Final = 2
CERT_PPID_RSA_3072: Final = 3
CERT_PCK_LEAF: Final = 4
CERT_PCK_CHAIN: Final = 5
CERT_QE_REPORT: Final = 6
CERT_PLATFORM_MANIFEST: Final = 7
# Encrypted PPID, CPUSVN 16, PCESVN u16, PCEID u16: sizes of the encrypted PPID by type.
PPID_SIZES: Final[Mapping[int, int]] = MappingProxyType(
    {CERT_PPID: 16, CERT_PPID_RSA_2048: 256, CERT_PPID_RSA_3072: 384}
)
PLATFORM_ID_TAIL: Final = 20

HEADER: Final = Layout(
    "quote header",
    HEADER_SIZE,
    (
        Field("version", 0, 2, "le"),
        Field("att_key_type", 2, 2, "le"),
        Field("tee_type", 4, 4, "le"),
        # Version 3 names the SVNs of QE and PCE here; versions 4 and 5 reserve the four bytes, nothing reads them there.
        Field("qe_svn", 8, 2, "le"),
        Field("pce_svn", 10, 2, "le"),
        Field("qe_vendor_id", 12, 16),
        Field("user_data", 28, 20),  # the first 16 bytes: QE identifier
    ),
    check_id=DECODE_ID,
)

SGX_REPORT: Final = Layout(
    "SGX report body",
    SGX_REPORT_SIZE,
    (
        Field("cpusvn", 0, 16),
        Field("miscselect", 16, 4, "le"),
        Field("cet_attributes", 20, 1, "le"),
        Field("reserved_015", 21, 11, "zero"),
        Field("isvextprodid", 32, 16),
        Field("attributes", 48, 16),  # flags u64, XFRM u64
        Field("mrenclave", 64, 32),
        Field("reserved_060", 96, 32, "zero"),
        Field("mrsigner", 128, 32),
        Field("reserved_0a0", 160, 32, "zero"),
        Field("configid", 192, 64),
        Field("isvprodid", 256, 2, "le"),
        Field("isvsvn", 258, 2, "le"),
        Field("configsvn", 260, 2, "le"),
        Field("reserved_106", 262, 42, "zero"),
        Field("isvfamilyid", 304, 16),
        Field("report_data", 320, 64),
    ),
    check_id=DECODE_ID,
)

_TD_10 = (
    Field("tee_tcb_svn", 0, 16),  # byte 0 module SVN, byte 1 module major version
    Field("mrseam", 16, 48),
    Field("mrsignerseam", 64, 48),
    Field("seamattributes", 112, 8),
    Field("tdattributes", 120, 8),
    Field("xfam", 128, 8),
    Field("mrtd", 136, 48),
    Field("mrconfigid", 184, 48),
    Field("mrowner", 232, 48),
    Field("mrownerconfig", 280, 48),
    Field("rtmr0", 328, 48),
    Field("rtmr1", 376, 48),
    Field("rtmr2", 424, 48),
    Field("rtmr3", 472, 48),
    Field("report_data", 520, 64),
)
_TD_15 = (
    *_TD_10,
    Field("tee_tcb_svn2", 584, 16),
    Field("mrservicetd", 600, 48),
)
_TD_15_EXTENDED = (
    *_TD_15,
    Field("vmid", 648, 1),
    Field("tdid", 649, 32),
    Field("devinfo", 681, 48),
    Field("init_servtd_hash", 729, 48),
    Field("init_servtd_attr", 777, 8),
    Field("init_cpusvn", 785, 16),
    Field("init_tee_tcb_svn", 801, 16),
    Field("init_tee_fmspc", 817, 12),
    Field("cur_servtd_hash", 829, 48),
    Field("cur_servtd_attr", 877, 8),
)
TD_REPORT_10: Final = Layout("TD report 1.0", TD_REPORT_10_SIZE, _TD_10, check_id=DECODE_ID)
TD_REPORT_15: Final = Layout("TD report 1.5", TD_REPORT_15_SIZE, _TD_15, check_id=DECODE_ID)
TD_REPORT_15_EXTENDED: Final = Layout(
    "TD report 1.5 extended", TD_REPORT_15_EXTENDED_SIZE, _TD_15_EXTENDED, check_id=DECODE_ID
)

# Body type of version 5 (and what versions 3 and 4 imply by their TEE type) -> its table.
BODIES: Final[Mapping[int, Layout]] = MappingProxyType(
    {
        BODY_SGX: SGX_REPORT,
        BODY_TD_10: TD_REPORT_10,
        BODY_TD_15: TD_REPORT_15,
        BODY_TD_15_EXTENDED: TD_REPORT_15_EXTENDED,
    }
)

# What follows the body, by the names under which ``bins`` knows it; the QE report's own fields have ``qe_`` before them.
SIGNATURE_FIELDS: Final = (
    "quote_signature",
    "attestation_key",
    *(f"qe_{field.name}" for field in SGX_REPORT.fields if field.kind != "zero"),
    "qe_report_signature",
    "qe_auth_data",
    "certification_type",
    "certification_data",
    "padding",
)


def _named(table: Layout) -> tuple[str, ...]:
    return tuple(field.name for field in table.fields if field.kind != "zero")


# Header fields that a body field's name would hide get ``header_`` before them.
HEADER_FIELDS: Final = tuple(f"header_{name}" for name in _named(HEADER))
SGX_FIELDS: Final = (*HEADER_FIELDS, *_named(SGX_REPORT), *SIGNATURE_FIELDS)
TDX_FIELDS: Final = (*HEADER_FIELDS, *_named(TD_REPORT_15_EXTENDED), *SIGNATURE_FIELDS)

# SGX ATTRIBUTES.FLAGS, SDM volume 3D, table "ATTRIBUTES structure".
SGX_INIT: Final = 0
SGX_DEBUG: Final = 1
SGX_MODE64BIT: Final = 2
SGX_PROVISION_KEY: Final = 4
SGX_EINITTOKEN_KEY: Final = 5
SGX_CET: Final = 6
SGX_KSS: Final = 7
SGX_AEX_NOTIFY: Final = 10

# TDATTRIBUTES, TDX module ABI. Bits 0 to 7 are the group "TD under debug".
TD_DEBUG: Final = 0
TD_TUD_MASK: Final = 0xFF
TD_SEPT_VE_DISABLE: Final = 28
TD_MIGRATABLE: Final = 29
TD_PKS: Final = 30
TD_KL: Final = 31
TD_PERFMON: Final = 63

# PCK certificate extension (Intel, *SGX PCK Certificate and CRL Profile Specification*): SEQUENCE of SEQUENCE
# {OID, value}; suffixes are of ``OID_SGX``.
OID_SGX: Final = "1.2.840.113741.1.13.1"
PCK_PPID: Final = ".1"  # OCTET STRING 16
PCK_TCB: Final = ".2"  # SEQUENCE: .2.1 to .2.16 component SVNs, .2.17 PCESVN, .2.18 CPUSVN (OCTET STRING 16)
PCK_PCEID: Final = ".3"  # OCTET STRING 2
PCK_FMSPC: Final = ".4"  # OCTET STRING 6
PCK_SGX_TYPE: Final = ".5"  # ENUMERATED
PCK_PLATFORM_INSTANCE: Final = ".6"  # OCTET STRING 16, Platform CA only
PCK_CONFIGURATION: Final = ".7"  # SEQUENCE of BOOLEAN: .7.1 dynamic platform, .7.2 cached keys, .7.3 SMT enabled
COMPONENTS: Final = 16
