"""PEM (RFC 7468). Reading proves nothing; what is inside a block is the caller's to parse. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from verifier.formats.errors import MalformedEvidence

# A bound for the search alone: what is inside a block has the bound of its parser.
MAX_PEM: Final = 4 * 1024 * 1024
_SEQUENCE: Final = b"\x30"
_LINE: Final = 64


def is_pem(data: bytes) -> bool:
    """Tell PEM from DER of a SEQUENCE, which every certificate, key and CRL is."""
    return data[:1] != _SEQUENCE and b"-----BEGIN" in data


def pem_blocks(data: bytes, label: str) -> tuple[bytes, ...]:
    """Return the DER of every PEM block of that label, in order; ``ValueError`` for one without end or bad base64."""
    # Linear in the data, which any client may send; text around blocks is left alone.
    begin, end = f"-----BEGIN {label}-----".encode("ascii"), f"-----END {label}-----".encode("ascii")
    blocks = []
    position = data.find(begin)
    while position >= 0:
        start = position + len(begin)
        stop = data.find(end, start)
        if stop < 0:
            raise ValueError(f"PEM {label}: a block has no end")
        try:
            blocks.append(base64.b64decode(b"".join(data[start:stop].split()), validate=True))
        except binascii.Error as error:
            raise ValueError(f"PEM {label}: {error}") from None
        position = data.find(begin, stop)
    return tuple(blocks)


def to_pem(der: bytes, label: str) -> bytes:
    """Write one PEM block in its one strict form (RFC 7468, section 3): lines of 64 characters, LF."""
    text = base64.b64encode(der)
    lines = b"\n".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))
    name = label.encode("ascii")
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (name, lines, name)


def pem_or_der(data: bytes, label: str, check_id: str, what: str, *, limit: int = MAX_PEM) -> bytes:
    """Return the DER of the one PEM block of that label; what is no PEM stays as it is, for the DER's own parser.

    ``MalformedEvidence(check_id)`` for no such block, for several, for a broken one, and for PEM of more than ``limit`` bytes.
    """
    if not is_pem(data):
        return data
    if len(data) > limit:
        raise MalformedEvidence(check_id, f"{what}: got {len(data)} bytes of PEM, want at most {limit}")
    try:
        blocks = pem_blocks(data, label)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"{what}: {error}") from None
    if len(blocks) != 1:
        raise MalformedEvidence(check_id, f"{what}: got {len(blocks)} PEM blocks {label}, want 1")
    return blocks[0]
