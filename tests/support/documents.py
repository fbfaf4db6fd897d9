"""A wholesome document of each kind that vendors publish, forged when a test first asks for it.

A vendor's stand in ``tests/vectors/vendors/<vendor>.py``, which exports ``examples() -> tuple[Example, ...]``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from verifier.adapters.collateral.documents import issuer_of
from verifier.adapters.collateral.items import Item, item
from verifier.adapters.vendors.registry import VENDORS
from verifier.formats.x509chain import Anchor


@dataclass(frozen=True, slots=True)
class Example:
    """One document: kind and key, what came, who vouches for it, and a time (Unix seconds) at which it is in force."""

    kind: str
    key: str
    body: bytes
    chain: bytes = b""
    anchors: tuple[Anchor, ...] = ()
    now: int = 0

    @property
    def item(self) -> Item:
        """Return it as what is asked for."""
        return made(self.kind, self.key)

    @property
    def issuers(self) -> bytes:
        """Return what stands above it: the chain that came with it, or the example that its row names as its issuer."""
        of = issuer_of(self.item, self.body)
        return self.chain if of is None else all_examples()[of].body


def made(kind: str, key: str) -> Item:
    """Return an item whose key has its kind's form."""
    found = item(kind, key)
    assert found is not None
    return found


@cache
def all_examples() -> Mapping[Item, Example]:
    """Return every vendor's, by what is asked for."""
    modules = (importlib.import_module(f"tests.vectors.vendors.{vendor}") for vendor in VENDORS)
    return MappingProxyType({example.item: example for module in modules for example in module.examples()})


def example_of(kind: str) -> Example:
    """Return the first example of a kind."""
    return next(example for example in all_examples().values() if example.kind == kind)
