"""The PCK certificate: chain as it came, and what Intel writes into the leaf. Proves nothing.

Source: Intel *SGX PCK Certificate and Certificate Revocation List Profile Specification*, section "SGX extensions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Literal

from cryptography.hazmat import asn1
from cryptography.x509 import ObjectIdentifier

from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import MAX_CERTIFICATE, Certificate, common_name, der_tlv, parse_certificate
from verifier.formats.x509chain import MAX_CHAIN
from verifier.tee.dcap import layout

MAX_PEM: Final = 2 * MAX_CHAIN * MAX_CERTIFICATE
PLATFORM_CA: Final = "Intel SGX PCK Platform CA"
PROCESSOR_CA: Final = "Intel SGX PCK Processor CA"
SGX_TYPES: Final[Mapping[int, str]] = MappingProxyType({0: "standard", 1: "scalable", 2: "scalable-with-integrity"})

_MAX_ENTRIES: Final = 32
_BLOCK: Final = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----")
_SPACE: Final = b" \t\r\n"
_OCTET_STRING, _INTEGER, _ENUMERATED, _BOOLEAN, _SEQUENCE = b"\x04", b"\x02", b"\x0a", b"\x01", b"\x30"
_CONFIGURATION: Final = ("1", "2", "3")  # dynamic platform, cached keys, SMT enabled

Ca = Literal["platform", "processor"]


@asn1.sequence
class _Entry:
    oid: ObjectIdentifier
    value: asn1.TLV


@asn1.sequence
class _Inside:
    entries: list[_Entry]


@dataclass(frozen=True, slots=True, eq=False)
class Pck:
    """A PCK certificate with Intel's extension, unverified. The TCB of a platform is the one here, not a report's CPUSVN."""

    certificate: Certificate
    ppid: bytes
    components: tuple[int, ...]  # the 16 component SVNs, which TCB info is compared to
    pcesvn: int
    cpusvn: bytes
    pceid: bytes
    fmspc: str  # upper-case hex
    sgx_type: int
    platform_instance_id: bytes | None  # Platform CA only
    configuration: Mapping[str, bool] | None  # Platform CA only: "1" dynamic platform, "2" cached keys, "3" SMT enabled


def read_pck(certificate: Certificate, check_id: str) -> Pck:
    """Read Intel's extension; ``MalformedEvidence(check_id)`` where it is missing or broken. Cached by certificate."""
    try:
        return _read_pck(certificate)
    except (ValueError, OverflowError) as error:
        raise MalformedEvidence(check_id, f"PCK certificate: {error}") from None


@lru_cache(maxsize=1024)
def _read_pck(certificate: Certificate) -> Pck:
    extension = certificate.extensions.get(layout.OID_SGX)
    if extension is None:
        raise ValueError(f"extension {layout.OID_SGX}: got nothing, want it")
    top = _entries(extension.value, layout.OID_SGX, "SGX extension")
    tcb = _entries(_raw(top, layout.PCK_TCB, _SEQUENCE), layout.OID_SGX + layout.PCK_TCB, "TCB")
    configuration = None
    if layout.PCK_CONFIGURATION in top:
        prefix = layout.OID_SGX + layout.PCK_CONFIGURATION
        read = _entries(_raw(top, layout.PCK_CONFIGURATION, _SEQUENCE), prefix, "configuration")
        configuration = MappingProxyType(
            {place: _boolean(read, f".{place}") for place in _CONFIGURATION if f".{place}" in read}
        )
    instance = layout.PCK_PLATFORM_INSTANCE
    return Pck(
        certificate=certificate,
        ppid=_octets(top, layout.PCK_PPID, 16),
        components=tuple(_number(tcb, f".{place}", 0xFF) for place in range(1, layout.COMPONENTS + 1)),
        pcesvn=_number(tcb, ".17", 0xFFFF),
        cpusvn=_octets(tcb, ".18", 16),
        pceid=_octets(top, layout.PCK_PCEID, 2),
        fmspc=_octets(top, layout.PCK_FMSPC, 6).hex().upper(),
        sgx_type=_number(top, layout.PCK_SGX_TYPE, max(SGX_TYPES), _ENUMERATED),
        platform_instance_id=_octets(top, instance, 16) if instance in top else None,
        configuration=configuration,
    )


def _entries(der: bytes, prefix: str, what: str) -> Mapping[str, asn1.TLV]:
    """Read SEQUENCE OF SEQUENCE {OID, value} as a table by OID suffix; OIDs that are not Intel's here are passed over."""
    # ``decode_der`` wants a class at the top, so the sequence goes into a sequence of one.
    listed = asn1.decode_der(_Inside, der_tlv(0x30, der)).entries
    if len(listed) > _MAX_ENTRIES:
        raise ValueError(f"{what}: got {len(listed)} entries, want at most {_MAX_ENTRIES}")
    table: dict[str, asn1.TLV] = {}
    for entry in listed:
        oid = entry.oid.dotted_string
        if not oid.startswith(f"{prefix}."):
            continue
        suffix = oid[len(prefix) :]
        if suffix in table:
            raise ValueError(f"{what}: {oid} twice")
        table[suffix] = entry.value
    return table


def _raw(table: Mapping[str, asn1.TLV], suffix: str, tag: bytes) -> bytes:
    value = table.get(suffix)
    if value is None or bytes(value.tag_bytes) != tag:
        raise ValueError(f"{suffix}: got {'nothing' if value is None else 'another type'}, want it")
    return der_tlv(tag[0], bytes(value.data))


def _octets(table: Mapping[str, asn1.TLV], suffix: str, size: int) -> bytes:
    data = asn1.decode_der(bytes, _raw(table, suffix, _OCTET_STRING))
    if len(data) != size:
        raise ValueError(f"{suffix}: got {len(data)} bytes, want {size}")
    return data


def _number(table: Mapping[str, asn1.TLV], suffix: str, highest: int, tag: bytes = _INTEGER) -> int:
    # An ENUMERATED is an INTEGER by another tag (X.690, section 8.4).
    raw = _raw(table, suffix, tag)
    number = asn1.decode_der(int, _INTEGER + raw[1:])
    if not 0 <= number <= highest:
        raise ValueError(f"{suffix}: got {number}, want 0 to {highest}")
    return number


def _boolean(table: Mapping[str, asn1.TLV], suffix: str) -> bool:
    return asn1.decode_der(bool, _raw(table, suffix, _BOOLEAN))


def read_chain(data: bytes, check_id: str, what: str) -> tuple[Certificate, ...]:
    """Read certificates as PEM blocks or one DER; ``MalformedEvidence(check_id)``. Cached by bytes."""
    try:
        return _read_chain(data)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"{what}: {error}") from None
    except MalformedEvidence as error:
        raise MalformedEvidence(check_id, f"{what}: {error.detail}") from None


@lru_cache(maxsize=256)
def _read_chain(data: bytes) -> tuple[Certificate, ...]:
    if data[:1] == b"\x30":
        return (parse_certificate(data, "pem"),)
    if len(data) > MAX_PEM:
        raise ValueError(f"got {len(data)} bytes of PEM, want at most {MAX_PEM}")
    # Intel's libraries end the chain with NUL, which is no text.
    text = data.removesuffix(b"\x00")
    blocks = pem_blocks(text, "CERTIFICATE")
    if not blocks or len(blocks) > MAX_CHAIN:
        raise ValueError(f"got {len(blocks)} certificates, want 1 to {MAX_CHAIN}")
    if _BLOCK.sub(b"", text).strip(_SPACE):
        raise ValueError("want certificates and nothing beside them")
    return tuple(parse_certificate(der, "pem") for der in blocks)


def ordered(certificates: Sequence[Certificate], leaf: Certificate) -> tuple[Certificate, ...]:
    """Return the leaf and, in order, the certificates that stand above it by name.

    Where the names lead to no root, the rest is kept as it came: the signature's check then says what does not fit. Beyond
    a root, what is left over is dropped.
    """
    chain = [leaf]
    rest = [c for c in certificates if c is not leaf]
    while rest:
        above = next((c for c in rest if c.subject == chain[-1].issuer and c is not chain[-1]), None)
        if above is None:
            return (*chain, *rest)
        chain.append(above)
        rest = [c for c in rest if c is not above]
        if above.self_issued:
            break
    return tuple(chain)


def pck_chain(certificates: Sequence[Certificate], check_id: str) -> tuple[Certificate, ...]:
    """Put a PCK chain in order, leaf first; ``MalformedEvidence(check_id)`` without exactly one PCK leaf."""
    leaves = [c for c in certificates if layout.OID_SGX in c.extensions]
    if len(leaves) != 1:
        raise MalformedEvidence(check_id, f"PCK chain: got {len(leaves)} PCK certificates, want 1")
    return ordered(certificates, leaves[0])


def ca_of(pck: Certificate) -> Ca:
    """Return which CA names itself as the issuer: what its CRL is asked for under. Proves nothing."""
    name = common_name(pck.issuer) or ""
    return "processor" if name.startswith(PROCESSOR_CA) else "platform"
