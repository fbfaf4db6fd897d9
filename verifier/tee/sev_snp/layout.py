"""ATTESTATION_REPORT as tables: versions 2 to 5, 0x4A0 bytes, little-endian.

Source: AMD 56860 *SEV Secure Nested Paging Firmware ABI*, revisions 1.51 to 1.58, MSG_REPORT_REQ, table ATTESTATION_REPORT;
AMD 57230 *VCEK Certificate and KDS Interface Specification* for TCB_VERSION and the certificate's extensions. Every offset was
read from genuine reports of each version.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from verifier.formats.layout import Field, Layout

SIZE: Final = 0x4A0
SIGNED: Final = (0, 0x2A0)  # what the signature covers
DECODE_ID: Final = "sev-snp.decode.report"

Product = Literal["Milan", "Genoa", "Turin"]
PRODUCTS: Final[tuple[Product, ...]] = ("Milan", "Genoa", "Turin")


_HEAD = (
    Field("version", 0x000, 4, "le"),
    Field("guest_svn", 0x004, 4, "le"),
    Field("policy", 0x008, 8, "le"),
    Field("family_id", 0x010, 16),
    Field("image_id", 0x020, 16),
    Field("vmpl", 0x030, 4, "le"),
    Field("signature_algo", 0x034, 4, "le"),
    Field("current_tcb", 0x038, 8),
    Field("platform_info", 0x040, 8, "le"),
    Field("key_info", 0x048, 4, "le"),
    Field("reserved_04c", 0x04C, 4, "zero"),
    Field("report_data", 0x050, 64),
    Field("measurement", 0x090, 48),
    Field("host_data", 0x0C0, 32),
    Field("id_key_digest", 0x0E0, 48),
    Field("author_key_digest", 0x110, 48),
    Field("report_id", 0x140, 32),
    Field("report_id_ma", 0x160, 32),
    Field("reported_tcb", 0x180, 8),
)
_PROCESSOR = (
    Field("cpuid_family", 0x188, 1, "le"),
    Field("cpuid_model", 0x189, 1, "le"),
    Field("cpuid_stepping", 0x18A, 1, "le"),
    Field("reserved_18b", 0x18B, 21, "zero"),
)
_NO_PROCESSOR = (Field("reserved_188", 0x188, 24, "zero"),)
_MIDDLE = (
    Field("chip_id", 0x1A0, 64),
    Field("committed_tcb", 0x1E0, 8),
    Field("current_build", 0x1E8, 1, "le"),
    Field("current_minor", 0x1E9, 1, "le"),
    Field("current_major", 0x1EA, 1, "le"),
    Field("reserved_1eb", 0x1EB, 1, "zero"),
    Field("committed_build", 0x1EC, 1, "le"),
    Field("committed_minor", 0x1ED, 1, "le"),
    Field("committed_major", 0x1EE, 1, "le"),
    Field("reserved_1ef", 0x1EF, 1, "zero"),
    Field("launch_tcb", 0x1F0, 8),
)
_MITIGATIONS = (
    Field("launch_mit_vector", 0x1F8, 8, "le"),
    Field("current_mit_vector", 0x200, 8, "le"),
    Field("reserved_208", 0x208, 152, "zero"),
)
_NO_MITIGATIONS = (Field("reserved_1f8", 0x1F8, 168, "zero"),)
_TAIL = (
    Field("signature_r", 0x2A0, 48, "le"),
    Field("reserved_2d0", 0x2D0, 24, "zero"),
    Field("signature_s", 0x2E8, 48, "le"),
    Field("reserved_318", 0x318, 24, "zero"),
    Field("reserved_330", 0x330, 368, "zero"),
)


def _fields(*, cpuid: bool, mitigations: bool) -> tuple[Field, ...]:
    """Lay the table out; what a version does not define yet is reserved in it and has to be zero."""
    processor = _PROCESSOR if cpuid else _NO_PROCESSOR
    vectors = _MITIGATIONS if mitigations else _NO_MITIGATIONS
    return (*_HEAD, *processor, *_MIDDLE, *vectors, *_TAIL)


def _layout(version: int, *, cpuid: bool, mitigations: bool) -> Layout:
    return Layout(f"report v{version}", SIZE, _fields(cpuid=cpuid, mitigations=mitigations), check_id=DECODE_ID)


LAYOUTS: Final[Mapping[int, Layout]] = MappingProxyType(
    {
        2: _layout(2, cpuid=False, mitigations=False),
        3: _layout(3, cpuid=True, mitigations=False),
        4: _layout(4, cpuid=True, mitigations=False),
        5: _layout(5, cpuid=True, mitigations=True),
    }
)

# Every field of the newest version that is not reserved; older versions have a part of them.
FIELDS: Final = tuple(field.name for field in LAYOUTS[5].fields if field.kind != "zero")

# POLICY, 56860 table "Guest Policy Structure". Bit 17 is reserved and has to be one.
POLICY_SMT = 16
POLICY_ONE = 17
POLICY_MIGRATE_MA = 18
POLICY_DEBUG = 19
POLICY_SINGLE_SOCKET = 20
POLICY_CXL_ALLOW = 21
POLICY_MEM_AES_256_XTS = 22
POLICY_RAPL_DIS = 23
POLICY_CIPHERTEXT_HIDING = 24
POLICY_PAGE_SWAP_DISABLE = 25
POLICY_KNOWN = (1 << 26) - 1

# PLATFORM_INFO. Bits unknown here are reported, not refused: bit 6 is set in genuine Turin reports.
PLATFORM_INFO_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "smt_enabled": 0,
        "tsme_enabled": 1,
        "ecc_enabled": 2,
        "rapl_disabled": 3,
        "ciphertext_hiding_enabled": 4,
        "alias_check_complete": 5,
        "tio_enabled": 7,
    }
)

# The word at 0x048: bit 0 AUTHOR_KEY_EN, bit 1 MASK_CHIP_KEY, bits 4:2 SIGNING_KEY, rest zero.
KEY_AUTHOR = 0
KEY_MASK_CHIP_KEY = 1
KEY_SIGNING_SHIFT = 2
KEY_SIGNING_MASK = 0b111
KEY_INFO_KNOWN = 0b11111
SIGNING_VCEK = 0
SIGNING_VLEK = 1

SIGNATURE_ECDSA_P384 = 1
NO_MIGRATION_AGENT = b"\xff" * 32
HIGHEST_VMPL = 3  # 0xFFFFFFFF: the host asked for the report

# TCB_VERSION, byte 0 first in memory: component -> place. The rest are zero.
TCB_CLASSIC: Final[Mapping[str, int]] = MappingProxyType({"bl": 0, "tee": 1, "snp": 6, "ucode": 7})
TCB_TURIN: Final[Mapping[str, int]] = MappingProxyType({"fmc": 0, "bl": 1, "tee": 2, "snp": 3, "ucode": 7})

FAMILY_19H = 0x19
FAMILY_1AH = 0x1A
_MILAN_MODELS = range(0x10)
_GENOA_MODELS = (*range(0x10, 0x20), *range(0xA0, 0xB0))  # Bergamo and Siena use Genoa's keys
_TURIN_MODELS = range(0x20)


def product_of(family: int, model: int) -> Product | None:
    """Name the product by CPUID (report version 3 and later); ``None`` for one unknown here."""
    if family == FAMILY_19H and model in _MILAN_MODELS:
        return "Milan"
    if family == FAMILY_19H and model in _GENOA_MODELS:
        return "Genoa"
    if family == FAMILY_1AH and model in _TURIN_MODELS:
        return "Turin"
    return None


def tcb_places(product: Product | None) -> Mapping[str, int]:
    """Return where each component stands. A version 2 report names no product and is never decoded as Turin."""
    return TCB_TURIN if product == "Turin" else TCB_CLASSIC


# Extensions of VCEK and VLEK certificates, 57230 table "VCEK Certificate Extensions".
OID_PREFIX: Final = "1.3.6.1.4.1.3704.1."
OID_STRUCT_VERSION: Final = OID_PREFIX + "1"
OID_PRODUCT_NAME: Final = OID_PREFIX + "2"
OID_HWID: Final = OID_PREFIX + "4"
OID_CSP_ID: Final = OID_PREFIX + "5"
# Place in TCB_VERSION -> OID suffix under .3; Turin has an FMC and no .3.4.
TCB_OIDS_CLASSIC: Final = ("3.1", "3.2", "3.4", "3.5", "3.6", "3.7", "3.3", "3.8")
TCB_OIDS_TURIN: Final = ("3.9", "3.1", "3.2", "3.3", "3.5", "3.6", "3.7", "3.8")
HWID_SIZES: Final[Mapping[Product, int]] = MappingProxyType({"Milan": 64, "Genoa": 64, "Turin": 8})
