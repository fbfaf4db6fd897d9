"""Is a document what was asked for? Looked at before it is kept, and whenever it is read back.

A document that passes is one of its kind and key, and carries its dates. That it is *genuine* (signed, by whom) is the scheme's
to say at each use; what an anchor stands behind is looked at here too (``is_of_anchor``), so that a false mirror cannot stop logins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from verifier.adapters.collateral.items import Item, item
from verifier.adapters.vendors.kind import Document, Facts
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509chain import Anchor

MAX_DOCUMENT: Final = 1024 * 1024


class BadDocument(ValueError):
    """Not the document that was asked for; the text says how."""


def inspect(of: Item, body: bytes, chain: bytes = b"") -> Facts:
    """Return the document's facts; ``BadDocument`` for one of another kind or key, or that cannot be read."""
    if not body or len(body) > MAX_DOCUMENT or len(chain) > MAX_DOCUMENT:
        raise BadDocument(f"{of}: got {len(body)} and {len(chain)} bytes, want 1 to {MAX_DOCUMENT}")
    try:
        facts = of.row.read(Document(of.key, body, chain))
    except (MalformedEvidence, ValueError, OverflowError, RecursionError) as error:
        raise BadDocument(f"{of}: {error}") from None
    if facts.expires <= facts.issued:
        raise BadDocument(f"{of}: got an end at {facts.expires}, want one after {facts.issued}")
    return facts


def is_of_anchor(of: Item, body: bytes, anchors: Sequence[Anchor], chain: bytes = b"") -> bool:
    """Tell whether an anchor's key stands behind a document that ``inspect`` passed, every signature on the way included.

    ``chain``: what came with it, or the document that signed it (``issuer_of``). Of a kind that only the evidence can judge this
    is not looked at; nor is, of any, whether it is in force and not revoked.
    """
    judge = of.row.is_genuine
    try:
        return judge is None or judge(Document(of.key, body, chain), tuple(anchors))
    except (MalformedEvidence, ValueError):
        return False


def issuer_of(of: Item, body: bytes) -> Item | None:
    """Return the document that has to have signed one that ``inspect`` passed; ``None`` where its row names none."""
    find = of.row.issuer
    return None if find is None else item(*find(Document(of.key, body)))


def plain(of: Item, data: bytes) -> bytes:
    """Return DER of what an operator may write as PEM; anything that is not one block of it stays what it is."""
    try:
        blocks = pem_blocks(data, of.row.pem_label) if of.row.pem_label else ()
    except ValueError:
        return data
    return blocks[0] if blocks else data
