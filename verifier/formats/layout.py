"""Fixed-size structures as one table that drives both directions.

A scheme's ``layout.py`` holds the table (field, offset, size, kind; the section of the vendor's document as a comment);
``decode`` and ``encode`` here are the only readers and writers of it, so a gap or an overlap cannot hide:
building a ``Layout`` checks that the fields tile it without either.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from verifier.formats.errors import MalformedEvidence

Kind = Literal["bytes", "le", "be", "zero"]
_INTEGERS = {1: "B", 2: "H", 4: "I", 8: "Q"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: ``bytes`` as they stand, ``le``/``be`` unsigned integers, ``zero`` reserved and refused if not 0."""

    name: str
    offset: int
    size: int
    kind: Kind = "bytes"


def _code(field: Field) -> str:
    """Return the struct code: little-endian integers of 1, 2, 4, 8 bytes as such, all else as bytes."""
    return _INTEGERS.get(field.size, f"{field.size}s") if field.kind == "le" else f"{field.size}s"


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
        # One struct call for the whole structure keeps decoding in the microseconds; it reads the common
        # integers itself, what is left to do stands in ``_zeros`` and ``_integers``.
        self._struct = struct.Struct("<" + "".join(_code(field) for field in fields))
        self._names = tuple(field.name for field in fields)
        self._zeros = tuple((field.name, bytes(field.size)) for field in fields if field.kind == "zero")
        self._integers: tuple[tuple[str, Literal["little", "big"]], ...] = tuple(
            (field.name, "little" if field.kind == "le" else "big")
            for field in fields
            if field.kind in ("le", "be") and _code(field).endswith("s")
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Field names in order, reserved ones too."""
        return tuple(field.name for field in self.fields)

    def decode(self, data: bytes) -> dict[str, bytes | int]:
        """Read the whole structure. Reserved (``zero``) fields are checked and left out of the answer."""
        if len(data) != self.size:
            raise MalformedEvidence(self.check_id, f"{self.name}: got {len(data)} bytes, want {self.size}")
        values: dict[str, Any] = dict(zip(self._names, self._struct.unpack(data), strict=True))
        for name, zeros in self._zeros:
            raw = values.pop(name)
            if raw != zeros:
                raise MalformedEvidence(self.check_id, f"{self.name}.{name}: got {raw.hex()}, want zeros")
        for name, order in self._integers:
            values[name] = int.from_bytes(values[name], order)
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
