"""A document that can be fetched, as an ``Item``: its kind and its key.

A scheme's ``Need`` names a kind and a key too; two needs may be answered by one document (one that its issuer chain comes along
with). A key that has not its kind's form is never looked for, in a cache or at a vendor's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal

from verifier.adapters.vendors.kind import Kind
from verifier.adapters.vendors.registry import KINDS, VENDOR_OF
from verifier.tee.scheme import Need

Part = Literal["body", "chain"]
CHAIN_SUFFIX: Final = "-chain"


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
