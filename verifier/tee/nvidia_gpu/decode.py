"""Bytes to records: the SPDM messages, the device's chain, and what its leaf says of the firmware. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Final, cast

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.reader import Reader
from verifier.formats.x509 import Certificate, common_name, parse_certificate, relative_names
from verifier.tee.nvidia_gpu import layout
from verifier.tee.nvidia_gpu.layout import DECODE_CHAIN, DECODE_REPORT

_VBIOS_ORDER: Final = (3, 2, 1, 0, 4)  # how a GPU's eight bytes are printed
_GPU_VBIOS_SIZE: Final = 8
# RFC 4514 section 3: what is printed by name; everything else by number.
_SHORT_NAMES: Final = MappingProxyType(
    {"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.10": "O", "2.5.4.11": "OU"}
)


@dataclass(frozen=True, slots=True)
class Block:
    """One measurement block. ``kind`` has bit 7 set where the value is raw bytes and no digest."""

    index: int
    kind: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuEvidence:
    """Request, response and chain, unverified. Opaque fields in the order in which they came, each type once."""

    request: Mapping[str, bytes | int]
    response: Mapping[str, bytes | int]
    blocks: tuple[Block, ...]
    responder_nonce: bytes
    opaque: tuple[tuple[int, bytes], ...]
    signature: bytes
    signed: bytes
    chain: tuple[Certificate, ...]  # leaf first, the root that came along last

    @property
    def nonce(self) -> bytes:
        """The requester's nonce: what the challenge has to be."""
        return cast("bytes", self.request["nonce"])

    @property
    def leaf(self) -> Certificate:
        """The certificate of the key that signed."""
        return self.chain[0]

    def field(self, name: str) -> bytes | None:
        """Return an opaque field by its name in ``layout.OPAQUE``."""
        number = layout.OPAQUE_NUMBERS[name]
        return next((value for kind, value in self.opaque if kind == number), None)

    @property
    def chip(self) -> str:
        """The chip's family as the leaf names it (``GH100``, ``LS_10``), "" without a name."""
        return (common_name(self.leaf.subject) or "").split(" ", 1)[0]

    @property
    def is_switch(self) -> bool:
        """NVSwitches are named LS: their reports have no FWID."""
        return self.chip.startswith("LS")

    def measurement(self, index: int) -> bytes | None:
        """Return the value of a block."""
        return next((block.value for block in self.blocks if block.index == index), None)


def decode(parts: Mapping[str, bytes]) -> GpuEvidence:
    """Decode ``spdm_report`` and ``cert_chain``; ``MalformedEvidence`` for a length, a code or a form that is not theirs."""
    return _decode_report(parts["spdm_report"], decode_chain(parts["cert_chain"]))


def encode(evidence: GpuEvidence) -> dict[str, bytes]:
    """Write both parts back; the inverse of ``decode``."""
    blocks = tuple((block.index, block.kind, block.value) for block in evidence.blocks)
    unsigned = layout.encode_unsigned(
        evidence.request, evidence.response, blocks, evidence.responder_nonce, evidence.opaque
    )
    return {
        "spdm_report": unsigned + evidence.signature,
        "cert_chain": layout.encode_chain([certificate.der for certificate in evidence.chain]),
    }


def _decode_report(data: bytes, chain: tuple[Certificate, ...]) -> GpuEvidence:
    if len(data) > layout.MAX_REPORT:
        raise MalformedEvidence(DECODE_REPORT, f"spdm_report: got {len(data)} bytes, want at most {layout.MAX_REPORT}")
    reader = Reader(data, DECODE_REPORT, "spdm_report")
    request = layout.REQUEST.decode(reader.take(layout.REQUEST.size, "request"))
    _require_message(request, "request", layout.GET_MEASUREMENTS)
    response = layout.RESPONSE.decode(reader.take(layout.RESPONSE.size, "response"))
    _require_message(response, "response", layout.MEASUREMENTS)
    blocks = _decode_blocks(reader.take(cast("int", response["record_length"]), "record"))
    if len(blocks) != response["blocks"]:
        raise reader.fail(f"record: got {len(blocks)} blocks, want {response['blocks']!r}")
    responder_nonce = reader.take(layout.NONCE_SIZE, "responder nonce")
    opaque = _decode_opaque(reader.take(reader.u16le("opaque length"), "opaque data"))
    signed = data[: reader.position]
    signature = reader.take(layout.SIGNATURE_SIZE, "signature")
    reader.end()
    return GpuEvidence(
        request=MappingProxyType(request),
        response=MappingProxyType(response),
        blocks=blocks,
        responder_nonce=responder_nonce,
        opaque=opaque,
        signature=signature,
        signed=signed,
        chain=chain,
    )


def _require_message(message: Mapping[str, bytes | int], what: str, code: int) -> None:
    for name, want in (("version", layout.SPDM_1_1), ("code", code)):
        got = cast("int", message[name])
        if got != want:
            raise MalformedEvidence(DECODE_REPORT, f"{what}.{name}: got {got:#x}, want {want:#x}")


def _decode_blocks(record: bytes) -> tuple[Block, ...]:
    """Read the measurement record. An index stands once and in rising order, so that it names one value."""
    reader = Reader(record, DECODE_REPORT, "measurement record")
    blocks: list[Block] = []
    while reader.remaining:
        head = cast("dict[str, int]", layout.BLOCK.decode(reader.take(layout.BLOCK.size, "block")))
        if head["specification"] != layout.DMTF:
            raise reader.fail(f"block.specification: got {head['specification']:#x}, want 1 (DMTF)")
        if head["size"] != head["value_size"] + layout.DMTF_HEAD:
            raise reader.fail(f"block.size: got {head['size']}, want {head['value_size'] + layout.DMTF_HEAD}")
        if not head["index"] or (blocks and head["index"] <= blocks[-1].index):
            raise reader.fail(f"block.index: got {head['index']}, want above {blocks[-1].index if blocks else 0}")
        blocks.append(Block(head["index"], head["kind"], reader.take(head["value_size"], "block.value")))
    return tuple(blocks)


def _decode_opaque(data: bytes) -> tuple[tuple[int, bytes], ...]:
    """Read NVIDIA's type, length, value; each type once. Unknown types are kept: the signature covers them."""
    reader = Reader(data, DECODE_REPORT, "opaque data")
    fields: dict[int, bytes] = {}
    while reader.remaining:
        kind = reader.u16le("type")
        if kind in fields:
            raise reader.fail(f"type: got {kind} twice, want it once")
        fields[kind] = reader.take(reader.u16le("length"), f"field {kind}")
    return tuple(fields.items())


def decode_chain(data: bytes) -> tuple[Certificate, ...]:
    """Read the device's certificates from strict PEM, leaf first, the self-issued root last."""
    if len(data) > layout.MAX_CHAIN_PEM:
        raise MalformedEvidence(DECODE_CHAIN, f"cert_chain: got {len(data)} bytes, want at most {layout.MAX_CHAIN_PEM}")
    return _decode_chain(data)


@lru_cache(maxsize=256)
def _decode_chain(data: bytes) -> tuple[Certificate, ...]:
    try:
        blocks = pem_blocks(data, "CERTIFICATE")
    except ValueError as error:
        raise MalformedEvidence(DECODE_CHAIN, f"cert_chain: {error}") from None
    if len(blocks) not in layout.CHAIN_LENGTHS:
        raise MalformedEvidence(DECODE_CHAIN, f"cert_chain: got {len(blocks)} certificates, want 3 to 6")
    if layout.encode_chain(blocks) != data:
        raise MalformedEvidence(DECODE_CHAIN, "cert_chain: want PEM blocks alone, lines of 64 characters, LF")
    chain = tuple(parse_certificate(der, DECODE_CHAIN, f"cert_chain[{i}]") for i, der in enumerate(blocks))
    if not chain[-1].self_issued:
        raise MalformedEvidence(DECODE_CHAIN, "cert_chain: the last certificate got another issuer, want a root")
    read_fwid(chain[0])
    return chain


@asn1.sequence
class _Fwid:
    algorithm: ObjectIdentifier
    digest: bytes


@asn1.sequence
class _CompositeDeviceId:
    version: int
    device_id: asn1.TLV
    fwid: _Fwid


@asn1.sequence
class _TcbInfo:
    vendor: Annotated[str | None, asn1.Implicit(0)]
    model: Annotated[str | None, asn1.Implicit(1)]
    version: Annotated[str | None, asn1.Implicit(2)]
    svn: Annotated[int | None, asn1.Implicit(3)]
    layer: Annotated[int | None, asn1.Implicit(4)]
    index: Annotated[int | None, asn1.Implicit(5)]
    fwids: Annotated[list[_Fwid] | None, asn1.Implicit(6)]
    flags: Annotated[asn1.BitString | None, asn1.Implicit(7)]
    vendor_info: Annotated[bytes | None, asn1.Implicit(8)]
    type: Annotated[bytes | None, asn1.Implicit(9)]


def read_fwid(leaf: Certificate) -> bytes | None:
    """Return the first firmware id of the leaf's TCG DICE extension, ``None`` without one.

    Hopper writes a CompositeDeviceID under 2.23.133.5.4.1, Blackwell a DiceTcbInfo under 2.23.133.5.4.1.1.
    Raises ``MalformedEvidence`` for one that is neither.
    """
    try:
        if layout.OID_TCB_INFO in leaf.extensions:
            read = asn1.decode_der(_TcbInfo, leaf.extensions[layout.OID_TCB_INFO].value)
            return read.fwids[0].digest if read.fwids else None
        if layout.OID_FWID_HOPPER in leaf.extensions:
            return asn1.decode_der(_CompositeDeviceId, leaf.extensions[layout.OID_FWID_HOPPER].value).fwid.digest
    except ValueError as error:
        raise MalformedEvidence(DECODE_CHAIN, f"cert_chain[0]: FWID extension: {error}") from None
    return None


def has_fwid_extension(leaf: Certificate) -> bool:
    """Tell whether the leaf has either form of the extension."""
    return layout.OID_TCB_INFO in leaf.extensions or layout.OID_FWID_HOPPER in leaf.extensions


def subject_text(leaf: Certificate) -> str:
    """Print the leaf's subject as RFC 4514 does (last attribute first), "" where it has no such form."""
    try:
        return ",".join(
            "+".join(f"{_SHORT_NAMES.get(oid, oid)}={_escape(text.decode('utf-8'))}" for oid, text in some)
            for some in reversed(relative_names(leaf.subject))
        )
    except ValueError:
        return ""


def _escape(text: str) -> str:
    """Escape what RFC 4514 section 2.4 wants escaped."""
    escaped = "".join(f"\\{char}" if char in ',+"\\<>;' else char for char in text)
    if escaped[:1] in ("#", " "):
        escaped = f"\\{escaped}"
    return escaped


def _ascii(value: bytes) -> str | None:
    """Read a zero-terminated ASCII field; ``None`` for anything else."""
    text, _, rest = value.partition(b"\x00")
    if any(rest) or not text.isascii():
        return None
    shown = text.decode("ascii")
    return shown if shown.isprintable() else None


def driver_version(evidence: GpuEvidence) -> str | None:
    """Return the driver's version, ``None`` where there is none or it is no text."""
    value = evidence.field("driver_version")
    return None if value is None else _ascii(value)


def vbios_version(evidence: GpuEvidence) -> str | None:
    """Return the VBIOS version as NVIDIA prints it: a GPU's from its eight bytes, a switch's as it stands."""
    value = evidence.field("vbios_version")
    if value is None:
        return None
    if not evidence.is_switch and len(value) == _GPU_VBIOS_SIZE:
        return ".".join(f"{value[place]:02X}" for place in _VBIOS_ORDER)
    return _ascii(value)


def product(evidence: GpuEvidence) -> str | None:
    """Return ``PROJECT_SKU_CHIPSKU``, by which NVIDIA names a product's reference measurements; ``None`` if one is missing."""
    names = [evidence.field(name) for name in ("project", "project_sku", "chip_sku")]
    texts = [None if value is None else _ascii(value) for value in names]
    return None if None in texts else "_".join(str(text) for text in texts).upper()


def feature(evidence: GpuEvidence) -> str | None:
    """Return the confidential-computing mode: SPT (one GPU), MPT (several, encrypted links) or PPCIE (protected PCIe)."""
    value = evidence.field("feature_flag")
    if value is None:
        return None
    return layout.FEATURES.get(int.from_bytes(value, "little"), value.hex())


def switch_status(evidence: GpuEvidence, name: str) -> bool | None:
    """Return NVDEC0's or protected PCIe's status; ``None`` where the report has none or another word."""
    return {bytes((layout.ENABLED,)): True, bytes((layout.DISABLED,)): False}.get(evidence.field(name) or b"")


def evidence_claims(evidence: GpuEvidence) -> dict[str, Any]:
    """What the evidence says, under the names of published cases; hex lower case, blocks and fields by number."""
    claims: dict[str, Any] = {
        "request_nonce": evidence.nonce.hex(),
        "response_nonce": evidence.responder_nonce.hex(),
        "slot": evidence.request["slot"],
        "measurement_blocks": len(evidence.blocks),
        "measurements": {str(block.index): block.value.hex() for block in evidence.blocks},
        "opaque_fields": {str(kind): value.hex() for kind, value in evidence.opaque},
        "leaf_subject": subject_text(evidence.leaf),
        "leaf_fwid_extension_present": has_fwid_extension(evidence.leaf),
        "chip": evidence.chip,
        "device_serial": device_serial(evidence),
    }
    told = {
        "driver_version": driver_version(evidence),
        "vbios_version": vbios_version(evidence),
        "product": product(evidence),
        "feature": feature(evidence),
        "protected_pcie": switch_status(evidence, "protected_pcie"),
        "nvdec0_enabled": switch_status(evidence, "nvdec0_status"),
    }
    return claims | {name: value for name, value in told.items() if value is not None}


def device_serial(evidence: GpuEvidence) -> str:
    """Return the serial number of the device's own certificate, above the leaf, in hex: the leaf's changes with its firmware."""
    return f"{evidence.chain[1].serial:x}"
