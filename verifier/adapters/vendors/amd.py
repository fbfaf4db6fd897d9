"""AMD: what its Key Distribution Service publishes (AMD 57230, *SEV-SNP Platform Attestation*, chapter "KDS Interface").

A VLEK is never there: AMD gives it to the provider alone. The KDS makes a new certificate on each request, so nothing is known by
a certificate's hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, cast

from verifier.adapters.vendors.kind import Absent, Anchors, Document, Facts, Fetched, Get, Kind, Service, Vendor
from verifier.adapters.vendors.reading import (
    WHAT,
    certificate,
    certificate_facts,
    crl_facts,
    first_block,
    is_crl_of_anchor,
    require,
    signed_by_anchor,
)
from verifier.core.settings import AMD_KDS
from verifier.formats.x509 import common_name
from verifier.tee.sev_snp.decode import read_vek
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
            try:
                return first_block(get(self.vcek_url(guess, chip, tcb)).body, "CERTIFICATE"), b""
            except Absent:
                continue
        return first_block(get(self.vcek_url(last, chip, tcb)).body, "CERTIFICATE"), b""

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
        return first_block(get(self.at(f"/{kind}/v1/{product}/cert_chain")).body, "CERTIFICATE"), b""

    def crl(self, key: str, get: Get) -> Fetched:
        """Ask for the list of a product's ARK."""
        return first_block(get(self.at(f"/vcek/v1/{key}/crl")).body, "X509 CRL"), b""


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


def _read_vcek(document: Document) -> Facts:
    product, chip, tcb = document.key.split("-")
    leaf = certificate(document.body)
    vek = read_vek(leaf, WHAT)
    if vek.hwid is None:
        raise ValueError("certificate: got a VLEK, want a VCEK")
    if product != "unknown":
        require("productName", vek.product, product)
    require("hwID", vek.hwid.hex(), chip)
    require("TCB", vek.tcb.hex(), tcb)
    return certificate_facts(leaf)


def _is_vcek_genuine(document: Document, anchors: Anchors) -> bool:
    """Nothing else would ever take a false one away: it would be answered with "not genuine" for seven years."""
    return bool(signed_by_anchor((certificate(document.body), certificate(document.chain)), anchors))


def _read_ask(document: Document) -> Facts:
    product, _, kind = document.key.partition("-")
    intermediate = certificate(document.body)
    want = f"SEV-{product}" if kind == "vcek" else f"SEV-VLEK-{product}"
    require("subject", common_name(intermediate.subject), want)
    return certificate_facts(intermediate)


VENDOR: Final = Vendor(
    name="amd",
    own_url=AMD_KDS,
    service=lambda settings: Kds(settings.kds_url),
    interval_s=lambda settings: settings.kds_interval_s,
    kinds=(
        Kind(
            name="sev-snp.vcek",
            # Product, hwID (8 bytes on Turin), TCB_VERSION as it stands in the report.
            key=re.compile(r"(?:(?:Milan|Genoa|unknown)-[0-9a-f]{128}|Turin-[0-9a-f]{16})-[0-9a-f]{16}", re.ASCII),
            key_of=_vcek_key,
            reach="chip",
            chip=lambda key: key.split("-")[1],
            chips=_hwids,
            fetch=Kds.vcek,
            pem_label="CERTIFICATE",
            read=_read_vcek,
            issuer=lambda document: (_ASK, f"{read_vek(certificate(document.body), WHAT).product}-vcek"),
            is_genuine=_is_vcek_genuine,
        ),
        Kind(
            name=_ASK,
            key=re.compile(r"(?:Milan|Genoa|Turin)-(?:vcek|vlek)", re.ASCII),
            reach="all",
            fetch=Kds.ask,
            pem_label="CERTIFICATE",
            read=_read_ask,
            is_genuine=lambda document, anchors: bool(signed_by_anchor((certificate(document.body),), anchors)),
        ),
        Kind(
            name="sev-snp.crl",
            key=re.compile(r"Milan|Genoa|Turin", re.ASCII),
            reach="all",
            fetch=Kds.crl,
            pem_label="X509 CRL",
            read=lambda document: crl_facts(document.body, f"ARK-{document.key}"),
            is_genuine=is_crl_of_anchor,
            marks=lambda document, _beside, anchors: crl_marks(document.body, anchors),
        ),
    ),
)
