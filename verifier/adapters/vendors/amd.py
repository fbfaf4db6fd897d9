"""AMD's Key Distribution Service (AMD 57230, chapter "KDS Interface"): what is at which address.

``/vcek/v1/{product}/{hwID}?blSPL=…`` (DER; Turin: 8 bytes of hwID and ``fmcSPL``), ``/{vcek|vlek}/v1/{product}/cert_chain`` (PEM:
ASK or ASVK, then ARK), ``/vcek/v1/{product}/crl`` (DER). A VLEK itself is never there: AMD gives it to the provider alone.
"""

from __future__ import annotations

from typing import Final, cast

from verifier.adapters.collateral import items
from verifier.adapters.collateral.http import Absent, Failed, Get
from verifier.adapters.collateral.items import Item
from verifier.formats.x509 import pem_blocks
from verifier.tee.sev_snp.layout import Product, tcb_places

NAME: Final = "amd"
_SPL: Final = {"fmc": "fmcSPL", "bl": "blSPL", "tee": "teeSPL", "snp": "snpSPL", "ucode": "ucodeSPL"}
_VERSION_2: Final = ("Milan", "Genoa")  # products that ever made a report that does not name its product


class Kds:
    """Reads from a KDS, or a mirror of it, at ``base`` (``https://kdsintf.amd.com``)."""

    name = NAME

    def __init__(self, base: str) -> None:
        self._base = base.rstrip("/")

    def fetch(self, item: Item, get: Get) -> tuple[bytes, bytes]:
        """Return document and chain (none of AMD's has one); raises what ``get`` raises, and ``Failed`` for what cannot be read."""
        if item.kind == items.VCEK:
            return self._vcek(item, get), b""
        if item.kind == items.ASK:
            product, _, kind = item.key.partition("-")
            return _first(get(f"{self._base}/{kind}/v1/{product}/cert_chain").body, "CERTIFICATE"), b""
        if item.kind == items.SNP_CRL:
            return _first(get(f"{self._base}/vcek/v1/{item.key}/crl").body, "X509 CRL"), b""
        raise Absent(f"{item.kind}: not AMD's")

    def _vcek(self, item: Item, get: Get) -> bytes:
        product, chip, tcb = item.key.split("-")
        if product != "unknown":
            return _first(get(self.vcek_url(product, chip, tcb)).body, "CERTIFICATE")
        for guess in _VERSION_2[:-1]:
            try:
                return _first(get(self.vcek_url(guess, chip, tcb)).body, "CERTIFICATE")
            except Absent:
                continue
        return _first(get(self.vcek_url(_VERSION_2[-1], chip, tcb)).body, "CERTIFICATE")

    def vcek_url(self, product: str, chip: str, tcb: str) -> str:
        """Return the address of a chip's certificate; ``Absent`` for a TCB with bytes that no certificate has."""
        raw = bytes.fromhex(tcb)
        places = tcb_places(cast("Product", product))
        if any(value for place, value in enumerate(raw) if place not in places.values()):
            raise Absent("a TCB that no certificate can have")
        query = "&".join(f"{_SPL[name]}={raw[place]:02d}" for name, place in places.items())
        return f"{self._base}/vcek/v1/{product}/{chip}?{query}"


def _first(data: bytes, label: str) -> bytes:
    """Return the first PEM block, or what is no PEM as it is."""
    if b"-----BEGIN" not in data:
        return data
    try:
        blocks = pem_blocks(data, label)
    except ValueError:
        blocks = ()
    if not blocks:
        raise Failed("garbage", f"no PEM block {label}", passing=True)
    return blocks[0]
