"""What can be fetched, and what each thing is known by.

A ``Need`` of a scheme names a kind and a key; an ``Item`` is the document behind it. Two needs may be answered by one document (TCB
info and its issuer chain arrive together). Keys are built from unverified evidence: each kind has one
form. Text of another form is never looked for, in a cache or at a vendor's. No key is a certificate's hash: AMD's KDS makes a new
certificate on each request (docs/collateral.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from verifier.tee.scheme import Need

VCEK: Final = "sev-snp.vcek"
ASK: Final = "sev-snp.ask"
SNP_CRL: Final = "sev-snp.crl"
TCB_INFO: Final = "intel.tcb-info"
QE_IDENTITY: Final = "intel.qe-identity"
PCK_CRL: Final = "intel.pck-crl"
ROOT_CRL: Final = "intel.root-crl"
PCK_CHAIN: Final = "intel.pck-chain"
NVIDIA_OCSP: Final = "nvidia.ocsp"

Part = Literal["body", "chain"]
_CHAIN_SUFFIX: Final = "-chain"
_WITH_CHAIN: Final = frozenset({TCB_INFO, QE_IDENTITY})

# Kinds of which there are a handful in the world: many chips need each, so they go first and count in no quota.
SHARED: Final = frozenset({ASK, SNP_CRL, QE_IDENTITY, PCK_CRL, ROOT_CRL})
# Kinds that verifying anything at all depends on: one that expires stops more than one machine.
REQUIRED: Final = frozenset({*SHARED, TCB_INFO})
# Kinds whose issuers number them: an older one may be genuine and still not be used.
NUMBERED: Final = REQUIRED - {ASK}

_FORMS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        # Product, hwID (8 bytes on Turin), TCB_VERSION as it stands in the report.
        VCEK: re.compile(r"(?:(?:Milan|Genoa|unknown)-[0-9a-f]{128}|Turin-[0-9a-f]{16})-[0-9a-f]{16}", re.ASCII),
        ASK: re.compile(r"(?:Milan|Genoa|Turin)-(?:vcek|vlek)", re.ASCII),
        SNP_CRL: re.compile(r"Milan|Genoa|Turin", re.ASCII),
        TCB_INFO: re.compile(r"(?:sgx|tdx)-[0-9A-F]{12}", re.ASCII),
        QE_IDENTITY: re.compile(r"sgx|tdx", re.ASCII),
        PCK_CRL: re.compile(r"platform|processor", re.ASCII),
        ROOT_CRL: re.compile(r"sgx-root", re.ASCII),
        PCK_CHAIN: re.compile(r"[0-9a-f]{32}-[0-9a-f]{32}-[0-9a-f]{4}-[0-9a-f]{4}", re.ASCII),
        # SHA-1 of the issuer's name and key, serial number: what a request says.
        NVIDIA_OCSP: re.compile(r"[0-9a-f]{40}-[0-9a-f]{40}-(?:0|[1-9a-f][0-9a-f]{0,39})", re.ASCII),
    }
)
KINDS: Final = frozenset(_FORMS)
_TURIN_HWID = 16  # hex digits


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One document: its kind and what identifies it. Made by ``item`` and ``item_of`` alone, so its key has its kind's form."""

    kind: str
    key: str

    @property
    def vendor(self) -> str:
        """Who issues it: ``amd``, ``intel`` or ``nvidia``."""
        owner = self.kind.partition(".")[0]
        return owner if owner in ("intel", "nvidia") else "amd"

    @property
    def chip(self) -> str:
        """The hwID that it is about, hex; "" for what is about no single chip."""
        return self.key.split("-")[1] if self.kind == VCEK else ""

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


def item(kind: str, key: str) -> Item | None:
    """Return the item of that kind and key, ``None`` where the key has another form than the kind's."""
    form = _FORMS.get(kind)
    return Item(kind, key) if form is not None and form.fullmatch(key) else None


def item_of(need: Need) -> tuple[Item, Part] | None:
    """Return the document that answers a need, and which part of it; ``None`` for what no vendor could ever answer."""
    kind, part = need.kind, "body"
    if kind.endswith(_CHAIN_SUFFIX) and kind.removesuffix(_CHAIN_SUFFIX) in _WITH_CHAIN:
        kind, part = kind.removesuffix(_CHAIN_SUFFIX), "chain"
    key = _vcek_key(need.key) if kind == VCEK else need.key
    found = item(kind, key)
    return None if found is None else (found, "chain" if part == "chain" else "body")


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


def hwid_of(listed: str) -> frozenset[str]:
    """Return the hwIDs that a chip of an allow-list (CHIP_ID, 64 bytes in hex) may have: whole, and Turin's 8 bytes."""
    text = listed.lower()
    head, tail = text[:_TURIN_HWID], text[_TURIN_HWID:]
    return frozenset({text} if tail.strip("0") else {text, head})
