"""Bytes to records: the report, and what AMD writes into a VCEK or VLEK certificate. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from cryptography.hazmat import asn1

from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509 import Certificate
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.layout import DECODE_ID, LAYOUTS, PRODUCTS, SIGNED, Product, product_of, tcb_places

_RESERVED_TCB = {
    False: tuple(i for i in range(8) if i not in layout.TCB_CLASSIC.values()),
    True: tuple(i for i in range(8) if i not in layout.TCB_TURIN.values()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One ATTESTATION_REPORT, unverified; fields as in ``layout``. TCBs are their 8 bytes as they stand in memory.

    Version 2 has no ``cpuid_*``, versions before 5 no ``*_mit_vector``: zero there. ``product`` is what CPUID says.
    """

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algo: int
    current_tcb: bytes
    platform_info: int
    key_info: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    chip_id: bytes
    committed_tcb: bytes
    current_build: int
    current_minor: int
    current_major: int
    committed_build: int
    committed_minor: int
    committed_major: int
    launch_tcb: bytes
    signature_r: int
    signature_s: int
    signed: bytes
    product: Product | None
    cpuid_family: int = 0
    cpuid_model: int = 0
    cpuid_stepping: int = 0
    launch_mit_vector: int = 0
    current_mit_vector: int = 0

    @property
    def signing_key(self) -> int:
        """SIGNING_KEY: 0 VCEK, 1 VLEK, 7 none."""
        return self.key_info >> layout.KEY_SIGNING_SHIFT & layout.KEY_SIGNING_MASK

    @property
    def is_debug(self) -> bool:
        """The guest policy lets the host read and write the guest's memory."""
        return bool(self.policy >> layout.POLICY_DEBUG & 1)

    def policy_bit(self, bit: int) -> bool:
        """Tell whether a bit of the guest policy is set."""
        return bool(self.policy >> bit & 1)

    def has_mitigations(self) -> bool:
        """Mitigation vectors came with version 5."""
        return self.version >= 5  # noqa: PLR2004 - the version is the fact


def decode(parts: Mapping[str, bytes]) -> Report:
    """Decode ``report``. Raises ``MalformedEvidence`` for a wrong length, an unknown version or reserved bits that are set."""
    data = parts["report"]
    if len(data) != layout.SIZE:
        raise MalformedEvidence(DECODE_ID, f"report: got {len(data)} bytes, want {layout.SIZE}")
    version = int.from_bytes(data[:4], "little")
    table = LAYOUTS.get(version)
    if table is None:
        raise MalformedEvidence("sev-snp.decode.version", f"report.version: got {version}, want {sorted(LAYOUTS)}")
    values = cast("dict[str, Any]", table.decode(data))
    if values["key_info"] > layout.KEY_INFO_KNOWN:
        raise MalformedEvidence(DECODE_ID, f"report.key_info: got {values['key_info']:#x}, want bits 0 to 4 only")
    family = values.get("cpuid_family", 0)
    product = product_of(family, values.get("cpuid_model", 0)) if "cpuid_family" in values else None
    reserved = _RESERVED_TCB[family == layout.FAMILY_1AH]
    for name in ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"):
        tcb = values[name]
        for place in reserved:
            if tcb[place]:
                raise MalformedEvidence(DECODE_ID, f"report.{name}: got {tcb.hex()}, want byte {place} zero")
    return Report(**values, signed=data[slice(*SIGNED)], product=product)


def encode(report: Report) -> dict[str, bytes]:
    """Write a report back; the inverse of ``decode``."""
    table = LAYOUTS[report.version]
    return {"report": table.encode({f.name: getattr(report, f.name) for f in table.fields if f.kind != "zero"})}


def tcb_parts(tcb: bytes, product: Product | None) -> dict[str, int]:
    """Split a TCB_VERSION into its components; a version 2 report (no product) is never read as Turin."""
    return {name: tcb[place] for name, place in tcb_places(product).items()}


@dataclass(frozen=True, slots=True, eq=False)
class Vek:
    """A VCEK or VLEK certificate with its extensions, unverified. A VCEK has a ``hwid``, a VLEK a ``csp_id``, never both."""

    certificate: Certificate
    struct_version: int
    product_name: str
    product: Product
    tcb: bytes  # as REPORTED_TCB has it
    hwid: bytes | None
    csp_id: str | None


def read_vek(certificate: Certificate, check_id: str) -> Vek:
    """Read AMD's extensions; ``MalformedEvidence(check_id)`` where one is missing or broken. Cached by certificate."""
    try:
        return _read_vek(certificate)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"certificate: {error}") from None


@lru_cache(maxsize=1024)
def _read_vek(certificate: Certificate) -> Vek:
    product_name = _text(certificate, layout.OID_PRODUCT_NAME, "productName")
    product = next((p for p in PRODUCTS if product_name == p or product_name.startswith(f"{p}-")), None)
    if product is None:
        raise ValueError(f"productName: got {product_name!r}, want one of {PRODUCTS}, with or without a stepping")
    suffixes = layout.TCB_OIDS_TURIN if product == "Turin" else layout.TCB_OIDS_CLASSIC
    tcb = bytes(_small(certificate, layout.OID_PREFIX + suffix, f"spl {suffix}") for suffix in suffixes)
    hwid = _hwid(certificate, layout.HWID_SIZES[product])
    csp_id = _text(certificate, layout.OID_CSP_ID, "cspID") if layout.OID_CSP_ID in certificate.extensions else None
    if (hwid is None) == (csp_id is None):
        raise ValueError("want a hwID (VCEK) or a cspID (VLEK), and not both")
    return Vek(
        certificate=certificate,
        struct_version=_small(certificate, layout.OID_STRUCT_VERSION, "structVersion"),
        product_name=product_name,
        product=product,
        tcb=tcb,
        hwid=hwid,
        csp_id=csp_id,
    )


def _value(certificate: Certificate, oid: str, what: str) -> bytes:
    extension = certificate.extensions.get(oid)
    if extension is None:
        raise ValueError(f"{what}: got nothing, want extension {oid}")
    return extension.value


def _small(certificate: Certificate, oid: str, what: str) -> int:
    """Read an INTEGER of one unsigned byte (a value above 127 is encoded in two)."""
    value = asn1.decode_der(int, _value(certificate, oid, what))
    if not 0 <= value <= 0xFF:  # noqa: PLR2004 - one byte
        raise ValueError(f"{what}: got {value}, want 0 to 255")
    return value


def _text(certificate: Certificate, oid: str, what: str) -> str:
    text = asn1.decode_der(asn1.IA5String, _value(certificate, oid, what)).as_str()
    if not text or not text.isprintable():
        raise ValueError(f"{what}: want printable text")
    return text


def _hwid(certificate: Certificate, size: int) -> bytes | None:
    """Read the hwID: AMD writes the raw bytes without a tag; an OCTET STRING around them is accepted too."""
    extension = certificate.extensions.get(layout.OID_HWID)
    if extension is None:
        return None
    value = extension.value
    if len(value) == size + 2 and value[:2] == bytes((0x04, size)):
        value = value[2:]
    if len(value) != size:
        raise ValueError(f"hwID: got {len(value)} bytes, want {size}")
    return value


def evidence_claims(report: Report) -> dict[str, Any]:
    """What the report says, under the names of published cases; hex lower case, numbers as numbers."""
    claims: dict[str, Any] = {
        "version": report.version,
        "guest_svn": report.guest_svn,
        "vmpl": report.vmpl,
        "policy": hex(report.policy),
        "platform_info": hex(report.platform_info),
        "debug": report.is_debug,
        "migrate_ma": report.policy_bit(layout.POLICY_MIGRATE_MA),
        "smt": report.policy_bit(layout.POLICY_SMT),
        "signing_key": {layout.SIGNING_VCEK: "VCEK", layout.SIGNING_VLEK: "VLEK"}.get(
            report.signing_key, str(report.signing_key)
        ),
        "author_key_en": report.key_info >> layout.KEY_AUTHOR & 1,
        "current_version": f"{report.current_major}.{report.current_minor}.{report.current_build}",
        "committed_version": f"{report.committed_major}.{report.committed_minor}.{report.committed_build}",
    }
    for name in (
        "family_id",
        "image_id",
        "report_data",
        "measurement",
        "host_data",
        "id_key_digest",
        "author_key_digest",
    ):
        claims[name] = getattr(report, name).hex()
    for name in ("report_id", "report_id_ma", "chip_id"):
        claims[name] = getattr(report, name).hex()
    for name in ("current_tcb", "reported_tcb", "committed_tcb", "launch_tcb"):
        claims[name] = getattr(report, name).hex()
        claims[f"{name}_parts"] = tcb_parts(getattr(report, name), report.product)
    if report.product is not None:
        claims["product"] = report.product
    if "cpuid_family" in LAYOUTS[report.version].names:
        for name in ("cpuid_family", "cpuid_model", "cpuid_stepping"):
            claims[name] = getattr(report, name)
    if report.has_mitigations():
        for name in ("launch_mit_vector", "current_mit_vector"):
            # As the bytes stand in the report, which is how they are published.
            claims[name] = getattr(report, name).to_bytes(8, "little").hex()
    return claims
