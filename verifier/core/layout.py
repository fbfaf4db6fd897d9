"""Fixed-size structures as one table that drives both directions.

A scheme's ``layout.py`` holds the table (field, offset, size, kind; the section of the vendor's document as a comment);
``decode`` and ``encode`` here are the only readers and writers of it, so a gap or an overlap cannot hide:
building a ``Layout`` checks that the fields tile it without either.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from verifier.core.errors import MalformedEvidence

Kind = Literal["bytes", "le", "be", "zero"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``bytes`` as they stand, ``le``/``be`` unsigned integers, ``zero`` reserved and refused if not 0."""

    name: str
    offset: int
    size: int
    kind: Kind = "bytes"


class Layout:
    """A fixed-size structure. ``decode`` raises ``MalformedEvidence(check_id)`` for a wrong length or reserved bits."""

    def __init__(self, name: str, size: int, fields: tuple[Field, ...], *, check_id: str) -> None:
        position = 0
        for field in fields:
            if field.offset != position:
                raise ValueError(
                    f"{name}.{field.name}: starts at {field.offset:#x}, previous field ends at {position:#x}"
                )
            position += field.size
        if position != size:
            raise ValueError(f"{name}: fields end at {position:#x}, the structure at {size:#x}")
        self.name = name
        self.size = size
        self.fields = fields
        self.check_id = check_id
        # One struct call for the whole structure keeps decoding in the tens of microseconds (parts.md).
        self._struct = struct.Struct("".join(f"{field.size}s" for field in fields))
        self._plan = tuple((f.name, f.kind, bytes(f.size)) for f in fields)

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in order, reserved ones too."""
        return tuple(field.name for field in self.fields)

    def decode(self, data: bytes) -> dict[str, bytes | int]:
        """Read the whole structure. Reserved (``zero``) fields are checked and left out of the answer."""
        if len(data) != self.size:
            raise MalformedEvidence(self.check_id, f"{self.name}: got {len(data)} bytes, want {self.size}")
        values: dict[str, bytes | int] = {}
        for (name, kind, zeros), raw in zip(self._plan, self._struct.unpack(data), strict=True):
            if kind == "bytes":
                values[name] = raw
            elif kind == "le":
                values[name] = int.from_bytes(raw, "little")
            elif kind == "be":
                values[name] = int.from_bytes(raw, "big")
            elif raw != zeros:
                raise MalformedEvidence(self.check_id, f"{self.name}.{name}: got {raw.hex()}, want zeros")
        return values

    def encode(self, values: Mapping[str, bytes | int]) -> bytes:
        """Write the structure back; the inverse of ``decode``. A value that does not fit is a programmer's ``ValueError``."""
        parts: list[bytes] = []
        for field in self.fields:
            if field.kind == "zero":
                parts.append(bytes(field.size))
                continue
            value = values[field.name]
            if isinstance(value, int):
                value = value.to_bytes(field.size, "little" if field.kind == "le" else "big")
            if len(value) != field.size:
                raise ValueError(f"{self.name}.{field.name}: got {len(value)} bytes, want {field.size}")
            parts.append(value)
        return b"".join(parts)
