"""A document that can be fetched, as an ``Item``: its kind and its key.

<<<<<<< HEAD
A scheme's ``Need`` names a kind and a key too; two needs may be answered by one document (one that its issuer chain comes along
with). A key that has not its kind's form is never looked for, in a cache or at a vendor's.
=======
A ``Need`` of a scheme names a kind and a key; an ``Item`` is the document behind it. Two needs may be answered by one document (TCB
info and its issuer chain arrive together). Keys are built from unverified evidence: each kind has one
form. Text of another form is never looked for, in a cache or at a vendor's. No key is a certificate's hash: AMD's KDS makes a new
certificate on each request (docs/collateral.md).
>>>>>>> prose
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from verifier.adapters.vendors.kind import Kind
from verifier.adapters.vendors.registry import KINDS, VENDOR_OF
from verifier.tee.scheme import Need

Part = Literal["body", "chain"]
<<<<<<< HEAD
CHAIN_SUFFIX: Final = "-chain"
=======
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
>>>>>>> prose


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """One document: its kind and what identifies it. Made by ``item`` and ``item_of`` alone, so its key has its kind's form."""

    kind: str
    key: str

    @property
    def row(self) -> Kind[Any]:
        """What its vendor's table says of its kind."""
        return KINDS[self.kind]

    @property
    def vendor(self) -> str:
        """The name of the vendor that publishes it."""
        return VENDOR_OF[self.kind]

    @property
    def chip(self) -> str:
        """The chip that it is about, as its vendor writes it; "" for what is about no single chip."""
        return self.row.chip(self.key)

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


def item(kind: str, key: str) -> Item | None:
    """Return the item of that kind and key, ``None`` where the key has another form than the kind's."""
    row = KINDS.get(kind)
    return Item(kind, key) if row is not None and re.fullmatch(row.key, key, re.ASCII) else None


def item_of(need: Need) -> tuple[Item, Part] | None:
    """Return the document that answers a need, and which part of it; ``None`` for what no vendor could ever answer."""
    part: Part = "body"
    row = KINDS.get(need.kind)
    if row is None:
        row, part = KINDS.get(need.kind.removesuffix(CHAIN_SUFFIX)), "chain"
        if row is None or not row.has_chain:
            return None
    found = item(row.name, row.key_of(need.key))
    return None if found is None else (found, part)
