"""AMD: what its Key Distribution Service publishes.

Source: AMD 57230, *Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification*, "KDS Interface". A VLEK is
never there: AMD gives it to the provider alone. The KDS makes a new certificate on each request, so nothing is known by a
certificate's hash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from verifier.adapters.vendors import reading
from verifier.adapters.vendors.kind import Absent, Answer, Document, Facts, Fetched, Get, Kind, Service, Vendor
from verifier.core.settings import AMD_KDS
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import common_name
from verifier.tee.sev_snp.decode import Vek, read_vek
from verifier.tee.sev_snp.layout import Product, tcb_places
from verifier.tee.sev_snp.verify import crl_marks

_ASK: Final = "sev-snp.ask"
_SPL: Final = {"fmc": "fmcSPL", "bl": "blSPL", "tee": "teeSPL", "snp": "snpSPL", "ucode": "ucodeSPL"}
_VERSION_2: Final = ("Milan", "Genoa")  # products that ever made a report that does not name its product
_TURIN_HWID: Final = 16  # hex digits


@dataclass(frozen=True, slots=True)
class Kds(Service):
    """A KDS, or a mirror of it."""

    def vcek(self, key: str, get: Get) -> Fetched:
        """Ask for a chip's certificate; for a report without a product, from one product after the other."""
        product, chip, tcb = key.split("-")
        *others, last = _VERSION_2 if product == "unknown" else (product,)
        for guess in others:
            with suppress(Absent):
                return _first_block(get(self.vcek_url(guess, chip, tcb)), "CERTIFICATE")
        return _first_block(get(self.vcek_url(last, chip, tcb)), "CERTIFICATE")

    def vcek_url(self, product: str, chip: str, tcb: str) -> str:
        """Return the address of a chip's certificate; ``Absent`` for a TCB with bytes that no certificate has."""
        raw = bytes.fromhex(tcb)
        places = tcb_places(cast("Product", product))
        if any(value for place, value in enumerate(raw) if place not in places.values()):
            raise Absent("a TCB that no certificate can have")
        query = "&".join(f"{_SPL[name]}={raw[place]:02d}" for name, place in places.items())
        return self.at(f"/vcek/v1/{product}/{chip}?{query}")

    def ask(self, key: str, get: Get) -> Fetched:
        """Ask for an intermediate: the first of a PEM chain (ASK or ASVK, then ARK)."""
        product, _, kind = key.partition("-")
        return _first_block(get(self.at(f"/{kind}/v1/{product}/cert_chain")), "CERTIFICATE")

    def crl(self, key: str, get: Get) -> Fetched:
        """Ask for the list of a product's ARK."""
        return _first_block(get(self.at(f"/vcek/v1/{key}/crl")), "X509 CRL")


def _first_block(answer: Answer, label: str) -> Fetched:
    """Return the first PEM block of that label, or what is no PEM as it is; ``ValueError`` for PEM without one."""
    blocks = pem_blocks(answer.body, label) if b"-----BEGIN" in answer.body else (answer.body,)
    if not blocks:
        raise ValueError(f"no PEM block {label}")
    return blocks[0], b""


def _vcek_key(key: str) -> str:
    """Write a report's chip as its certificate names it; "" for a masked chip, and for a Turin of more than 8 bytes."""
    product, _, rest = key.partition("-")
    chip, _, tcb = rest.partition("-")
    if not chip.strip("0"):
        return ""
    if product == "Turin":
        chip, tail = chip[:_TURIN_HWID], chip[_TURIN_HWID:]
        if tail.strip("0"):
            return ""
    return f"{product}-{chip}-{tcb}"


def _hwids(listed: str) -> frozenset[str]:
    """Return the hwIDs that a CHIP_ID (64 bytes, hex) of an allow-list may have: all of it, or Turin's 8 bytes."""
    text = listed.lower()
    head, tail = text[:_TURIN_HWID], text[_TURIN_HWID:]
    return frozenset({text} if tail.strip("0") else {text, head})


def _vek(document: Document) -> Vek:
    return read_vek(reading.certificate(document.body), reading.WHAT)


def _read_vcek(document: Document) -> Facts:
    product, chip, tcb = document.key.split("-")
    vek = _vek(document)
    if vek.hwid is None:
        raise ValueError("certificate: got a VLEK, want a VCEK")
    if product != "unknown":
        reading.require("productName", vek.product, product)
    reading.require("hwID", vek.hwid.hex(), chip)
    reading.require("TCB", vek.tcb.hex(), tcb)
    return reading.certificate_facts(vek.certificate)


def _read_ask(document: Document) -> Facts:
    product, _, kind = document.key.partition("-")
    intermediate = reading.certificate(document.body)
    want = f"SEV-{product}" if kind == "vcek" else f"SEV-VLEK-{product}"
    reading.require("subject", common_name(intermediate.subject), want)
    return reading.certificate_facts(intermediate)


VENDOR: Final = Vendor(
    name="amd",
    schemes=("sev-snp",),
    own_url=AMD_KDS,
    service=lambda settings: Kds(settings.kds_url),
    interval_s=lambda settings: settings.kds_interval_s,
    kinds=(
        Kind(
            name="sev-snp.vcek",
            # Product, hwID (8 bytes on Turin), TCB_VERSION as it stands in the report.
            key=r"(?:(?:Milan|Genoa|unknown)-[0-9a-f]{128}|Turin-[0-9a-f]{16})-[0-9a-f]{16}",
            key_of=_vcek_key,
            reach="chip",
            chip=lambda key: key.split("-")[1],
            chips=_hwids,
            fetch=Kds.vcek,
            pem_label="CERTIFICATE",
            read=_read_vcek,
            issuer=lambda document: (_ASK, f"{_vek(document).product}-vcek"),
            # A false one would be kept, and answered with "not genuine", for seven years.
            is_genuine=lambda document, anchors: reading.is_under_anchor((document.body, document.chain), anchors),
        ),
        Kind(
            name=_ASK,
            key=r"(?:Milan|Genoa|Turin)-(?:vcek|vlek)",
            reach="all",
            fetch=Kds.ask,
            pem_label="CERTIFICATE",
            read=_read_ask,
            is_genuine=lambda document, anchors: reading.is_under_anchor((document.body,), anchors),
        ),
        Kind(
            name="sev-snp.crl",
            key=r"Milan|Genoa|Turin",
            reach="all",
            fetch=Kds.crl,
            pem_label="X509 CRL",
            read=lambda document: reading.crl_facts(document.body, f"ARK-{document.key}"),
            is_genuine=reading.is_crl_of_anchor,
            marks=lambda document, _beside, anchors: crl_marks(document.body, anchors),
        ),
    ),
)
