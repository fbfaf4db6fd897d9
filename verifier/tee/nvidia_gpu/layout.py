"""GET_MEASUREMENTS and MEASUREMENTS of SPDM 1.1 as tables, and NVIDIA's opaque fields.

Source: DMTF DSP0274 *Security Protocol and Data Model*, version 1.1.1, sections "GET_MEASUREMENTS request" and "MEASUREMENTS
response" (little-endian); the numbers of the opaque fields as NVIDIA's own verifier names them (nvtrust). Every size was read from
genuine reports of an H100 and of an LS10 switch.

The evidence is the request, then the response, and the signature covers all of it before itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from verifier.formats.layout import Field, Layout
from verifier.formats.pem import to_pem

DECODE_REPORT: Final = "nvidia-gpu.decode.spdm_report"
DECODE_CHAIN: Final = "nvidia-gpu.decode.cert_chain"

SPDM_1_1: Final = 0x11
GET_MEASUREMENTS: Final = 0xE0
MEASUREMENTS: Final = 0x60
DMTF: Final = 0x01
NONCE_SIZE: Final = 32
SIGNATURE_SIZE: Final = 96  # r and s of P-384, big-endian
MAX_REPORT: Final = 128 * 1024
MAX_CHAIN_PEM: Final = 64 * 1024
CHAIN_LENGTHS: Final = range(3, 7)  # leaf first, the root that came along counted

REQUEST: Final = Layout(
    "request",
    37,
    (
        Field("version", 0, 1, "le"),
        Field("code", 1, 1, "le"),
        Field("attributes", 2, 1, "le"),  # param1: bit 0 asks for a signature
        Field("operation", 3, 1, "le"),  # param2: 0xFF asks for all blocks
        Field("nonce", 4, NONCE_SIZE),
        Field("slot", 36, 1, "le"),
    ),
    check_id=DECODE_REPORT,
)
RESPONSE: Final = Layout(
    "response",
    8,
    (
        Field("version", 0, 1, "le"),
        Field("code", 1, 1, "le"),
        Field("param1", 2, 1, "le"),
        Field("param2", 3, 1, "le"),
        Field("blocks", 4, 1, "le"),
        Field("record_length", 5, 3, "le"),
    ),
    check_id=DECODE_REPORT,
)
BLOCK: Final = Layout(
    "block",
    7,
    (
        Field("index", 0, 1, "le"),
        Field("specification", 1, 1, "le"),
        Field("size", 2, 2, "le"),
        Field("kind", 4, 1, "le"),  # DMTFSpecMeasurementValueType; bit 7: raw bytes, else a digest
        Field("value_size", 5, 2, "le"),
    ),
    check_id=DECODE_REPORT,
)
DMTF_HEAD: Final = 3  # what of a block's size is not its value

OPAQUE: Final[Mapping[int, str]] = MappingProxyType(
    {
        1: "cert_issuer_name",
        2: "cert_authority_key_id",
        3: "driver_version",
        4: "gpu_info",
        5: "sku",
        6: "vbios_version",
        7: "manufacturer_id",
        8: "tamper_detection",
        9: "smc",
        10: "vpr",
        11: "nvdec0_status",
        12: "msr_counts",
        13: "cpr_info",
        14: "board_id",
        15: "chip_sku",
        16: "chip_sku_mod",
        17: "project",
        18: "project_sku",
        19: "project_sku_mod",
        20: "fwid",
        21: "protected_pcie",
        22: "switch_pdi",
        23: "floorswept_ports",
        24: "position_id",
        25: "lock_status",
        26: "gpu_pdis",
        32: "gpu_link_connections",
        33: "system_enable_status",
        34: "opaque_version",
        35: "chip_info",
        36: "feature_flag",
        255: "invalid",
    }
)
OPAQUE_NUMBERS: Final[Mapping[str, int]] = MappingProxyType({name: number for number, name in OPAQUE.items()})
FIELDS: Final[tuple[str, ...]] = (
    *(f"request_{f.name}" for f in REQUEST.fields),
    *(f"response_{f.name}" for f in RESPONSE.fields),
    "measurements",
    "responder_nonce",
    *(f"opaque_{name}" for name in OPAQUE.values()),
    "opaque_other",
    "signature",
    "certificate_chain",
)
ENABLED, DISABLED = 0xAA, 0x55  # of NVDEC0 and protected PCIe
FEATURES: Final[Mapping[int, str]] = MappingProxyType({0: "SPT", 1: "MPT", 2: "PPCIE"})

# TCG DICE (DICE Attestation Architecture 1.1, section 6.1) in the leaf: Hopper writes the older form, Blackwell DiceTcbInfo.
OID_FWID_HOPPER: Final = "2.23.133.5.4.1"
OID_TCB_INFO: Final = "2.23.133.5.4.1.1"


def encode_blocks(blocks: Sequence[tuple[int, int, bytes]]) -> bytes:
    """Write a measurement record from ``(index, kind, value)``."""
    return b"".join(
        BLOCK.encode(
            {
                "index": index,
                "specification": DMTF,
                "size": len(value) + DMTF_HEAD,
                "kind": kind,
                "value_size": len(value),
            }
        )
        + value
        for index, kind, value in blocks
    )


def encode_opaque(fields: Sequence[tuple[int, bytes]]) -> bytes:
    """Write opaque data from ``(type, value)``."""
    return b"".join(number.to_bytes(2, "little") + len(value).to_bytes(2, "little") + value for number, value in fields)


def encode_unsigned(
    request: Mapping[str, bytes | int],
    response: Mapping[str, bytes | int],
    blocks: Sequence[tuple[int, int, bytes]],
    responder_nonce: bytes,
    opaque: Sequence[tuple[int, bytes]],
) -> bytes:
    """Write request and response up to the signature; number of blocks and all lengths are counted here."""
    record, data = encode_blocks(blocks), encode_opaque(opaque)
    head = RESPONSE.encode({**response, "blocks": len(blocks), "record_length": len(record)})
    return REQUEST.encode(request) + head + record + responder_nonce + len(data).to_bytes(2, "little") + data


def encode_chain(certificates: Sequence[bytes]) -> bytes:
    """Write certificates as PEM in its one strict form."""
    return b"".join(to_pem(der, "CERTIFICATE") for der in certificates)
