"""How evidence and findings are kept small: base64url as its bytes, what many records have in common once, by digest. Pure.

Packed evidence is a row of pieces. A piece is a kind, a length in 4 bytes (big-endian), and that many bytes. ``t``: text
as it came. ``b``: bytes that stand in base64url in the text. ``s``: the SHA-256 of such bytes, which are kept once for all records
(``Part``). Endorsements are shared, since a chip sends the same ones each time, and so are long parts: a boot's log comes with
every quote of it. Unpacking gives the same bytes again, whatever came. Only what is shared is deflated: to deflate each record's own
piece would halve it, and add a third to the CPU that a record costs.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from verifier.formats.encoding import b64url, sha256, unb64url

PACKED: Final = 1
# A quote of TDX has 5,000 bytes, most of them new each time; logs that repeat are longer.
_SHARED_PART: Final = 8 * 1024
# Shorter ones stay text: a shared part costs 150 bytes in tables and indices.
_RUN: Final = re.compile(rb'"(?:parts|endorsements)":|[A-Za-z0-9_-]{256,}')
_LEVEL: Final = 6  # once for each part, not for each record


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that are kept once; ``body`` is deflated."""

    digest: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Packed:
    """Evidence as it is kept."""

    body: bytes
    parts: tuple[Part, ...]


def pack(evidence: bytes) -> Packed:
    """Pack the envelope of evidence; any other bytes are packed too, to little use."""
    pieces: list[bytes] = []
    parts: dict[bytes, Part] = {}
    done, in_endorsements = 0, False
    for match in _RUN.finditer(evidence):
        begin, end = match.span()
        if evidence[begin : begin + 1] == b'"':
            in_endorsements = evidence[begin + 1 : begin + 2] == b"e"
            continue
        run = evidence[begin:end]
        try:
            if in_endorsements or end - begin >= _SHARED_PART:
                part = _part(run)
                parts[part.digest] = part
                piece = _piece(b"s", part.digest)
            else:
                piece = _piece(b"b", unb64url(run.decode("ascii")))
        except ValueError:
            continue
        if begin > done:
            pieces.append(_piece(b"t", evidence[done:begin]))
        pieces.append(piece)
        done = end
    if done < len(evidence):
        pieces.append(_piece(b"t", evidence[done:]))
    return Packed(b"".join(pieces), tuple(parts.values()))


def unpack(body: bytes, part_of: Callable[[bytes], bytes | None]) -> bytes | None:
    """Put evidence together again; ``part_of`` gives a shared part's body, ``None`` where it is gone.

    Raises ``ValueError`` for what is no packed evidence.
    """
    pieces: list[bytes] = []
    at = 0
    while at < len(body):
        kind, size = body[at : at + 1], int.from_bytes(body[at + 1 : at + 5], "big")
        data = body[at + 5 : at + 5 + size]
        at += 5 + size
        if kind == b"s":
            kept = part_of(data)
            if kept is None:
                return None
            data = inflate(kept)
        pieces.append(data if kind == b"t" else b64url(data).encode("ascii"))
    return b"".join(pieces)


@lru_cache(256)
def pack_findings(text: str) -> Part:
    """Return findings as they are kept once. Machines of one kind give the same text."""
    data = text.encode("utf-8")
    return Part(sha256(data), zlib.compress(data, _LEVEL))


@lru_cache(64)
def unpack_findings(body: bytes) -> str:
    """Return the text of kept findings; ``ValueError`` for what is none."""
    return inflate(body).decode("utf-8")


def inflate(body: bytes) -> bytes:
    """Inflate what was kept; ``ValueError`` for what does not."""
    try:
        return zlib.decompress(body)
    except zlib.error:
        raise ValueError("not deflated data") from None


@lru_cache(256)
def _part(run: bytes) -> Part:
    """Return what stands in a run of base64url; ``ValueError`` where it is none. A chip's run comes again and again."""
    data = unb64url(run.decode("ascii"))
    return Part(sha256(data), zlib.compress(data, _LEVEL))


def _piece(kind: bytes, data: bytes) -> bytes:
    return kind + len(data).to_bytes(4, "big") + data
