"""CBOR (RFC 8949) as evidence uses it: read strictly, with caps, into plain Python values.

Not ``cbor2.loads``: 6.3 computes with tags (it compiles a regular expression, resolves shared references, and a long bignum
leaks ``ValueError``), ignores trailing bytes and takes any value as a key. What it does well (``max_depth``, duplicate keys, no
allocation before the bytes are there) is done here too. ``cbor2`` still writes, and ``cbor2.CBORTag`` stands for a tag.

Checked: well-formedness (RFC 8949 section 5.3.1), one item and nothing after it, UTF-8, keys that are integers, text or byte
strings, each once (by value, so a longer encoding of the same key is the same key), depth, number of items. Not checked: preferred
(shortest) or deterministic encoding: vendors do not promise it, and signatures are over the bytes as received.
Refused although well-formed: floats, ``undefined``, other simple values, strings in chunks: no format of evidence has them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Final

import cbor2

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader

MAX_DEPTH: Final = 16
MAX_ITEMS: Final = 4096
MAX_SIZE: Final = 1024 * 1024

# Major types, RFC 8949 section 3.1
UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_SIMPLE: Final = {20: False, 21: True, 22: None}
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}

Key = int | str | bytes


class _Decoder:
    """One pass over the bytes. Recursion ends at ``max_depth``, which the caller cannot set beyond what the stack bears."""

    __slots__ = ("_data", "_depth", "_indefinite", "_items", "_reader")

    def __init__(self, data: bytes, reader: Reader, *, max_depth: int, max_items: int, indefinite: bool) -> None:
        self._data = data
        self._reader = reader
        self._depth = max_depth
        self._items = max_items
        self._indefinite = indefinite

    def item(self) -> Any:
        """Read one data item."""
        self._items -= 1
        if self._items < 0:
            raise self._reader.fail("got too many items")
        first = self._reader.u8("initial byte")
        major, info = first >> 5, first & 0x1F
        if major == SIMPLE:
            if info not in _SIMPLE:
                raise self._reader.fail(f"got {first:#04x}, want false, true or null of the simple values")
            return _SIMPLE[info]
        argument = self._argument(major, info)
        if major == UINT:
            return argument
        if argument is not None and major == NEGATIVE:
            return -1 - argument
        if argument is not None and major in (BYTES, TEXT):
            return self._string(major, argument)
        return self._container(major, argument)

    def _argument(self, major: int, info: int) -> int | None:
        """Read the argument; ``None`` for an indefinite length."""
        if info < 24:  # noqa: PLR2004 - RFC 8949 section 3: the value itself
            return info
        size = _SIZES.get(info)
        if size is not None:
            return int.from_bytes(self._reader.take(size, "argument"), "big")
        if info == _INDEFINITE and major in (ARRAY, MAP) and self._indefinite:
            return None
        raise self._reader.fail(f"got additional information {info} for major type {major}, want a length")

    def _string(self, major: int, size: int) -> bytes | str:
        raw = self._reader.take(size, "string")
        if major == BYTES:
            return raw
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise self._reader.fail("text: want UTF-8") from None

    def _container(self, major: int, count: int | None) -> Any:
        self._depth -= 1
        if self._depth < 0:
            raise self._reader.fail("got too many levels")
        value: Any
        if major == TAG:
            # ``_argument`` lets no tag be of indefinite length.
            value = cbor2.CBORTag(count or 0, self.item())
        elif major == ARRAY:
            value = [self.item() for _ in self._each(count, 1)]
        else:
            value = self._map(count)
        self._depth += 1
        return value

    def _map(self, count: int | None) -> dict[Key, Any]:
        table: dict[Key, Any] = {}
        for _ in self._each(count, 2):
            key = self.item()
            # ``True == 1`` in Python: a boolean key would hide behind an integer.
            if isinstance(key, bool) or not isinstance(key, (int, str, bytes)):
                raise self._reader.fail(f"map key: got {type(key).__name__}, want an integer, text or bytes")
            if key in table:
                raise self._reader.fail(f"map key: got {key!r:.80} twice, want it once")
            table[key] = self.item()
        return table

    def _each(self, count: int | None, least: int) -> Iterator[None]:
        """Count the entries of a container, each of at least ``least`` bytes, so that a false length is found at once."""
        if count is None:
            while not self._break():
                yield
            return
        if count * least > self._reader.remaining:
            raise self._reader.fail(f"container: got {self._reader.remaining} bytes, want {count} entries")
        for _ in range(count):
            yield

    def _break(self) -> bool:
        if not self._reader.remaining:
            raise self._reader.fail("container: got the end of the data, want a break")
        if self._data[self._reader.position] != _BREAK:
            return False
        self._reader.u8("break")
        return True


def decode(
    data: bytes,
    check_id: str,
    what: str,
    *,
    max_depth: int = MAX_DEPTH,
    max_items: int = MAX_ITEMS,
    max_size: int = MAX_SIZE,
    indefinite: bool = False,
) -> Any:
    """Read exactly one item: int, bytes, str, bool, ``None``, list, dict, ``cbor2.CBORTag``.

    Raises ``MalformedEvidence(check_id)`` and nothing else. ``indefinite``: arrays and maps may be of indefinite length.
    ``max_depth`` counts arrays, maps and tags (at most 64).
    """
    if max_depth > 64:  # noqa: PLR2004 - two Python frames a level
        raise ValueError(f"max_depth: got {max_depth}, want at most 64")
    if len(data) > max_size:
        raise MalformedEvidence(check_id, f"{what}: got {len(data)} bytes, want at most {max_size}")
    reader = Reader(data, check_id, what)
    value = _Decoder(data, reader, max_depth=max_depth, max_items=max_items, indefinite=indefinite).item()
    reader.end()
    return value


def first(data: bytes, check_id: str, what: str) -> bytes:
    """Return the bytes of the first item, whatever follows it: to show what a refused document says, never for a verdict."""
    reader = Reader(data, check_id, what)
    _Decoder(data, reader, max_depth=MAX_DEPTH, max_items=MAX_ITEMS, indefinite=True).item()
    return data[: reader.position]


def encode(value: Any, *, indefinite: bool = False) -> bytes:
    """Write one item in preferred encoding, maps in the order of the dict; ``indefinite`` containers for forged evidence."""
    out = io.BytesIO()
    cbor2.CBOREncoder(out, indefinite_containers=indefinite).encode(value)
    return out.getvalue()


def head(major: int, argument: int) -> bytes:
    """Write the initial bytes of an item in preferred encoding."""
    if argument < 24:  # noqa: PLR2004 - RFC 8949 section 3
        return bytes((major << 5 | argument,))
    for info, size in _SIZES.items():
        if argument < 1 << 8 * size:
            return bytes((major << 5 | info,)) + argument.to_bytes(size, "big")
    raise ValueError(f"argument: got {argument}, want less than 2^64")


def byte_string(data: bytes) -> bytes:
    """Write a byte string."""
    return head(BYTES, len(data)) + data
