"""JSON in which each name stands once: UTF-8 without a byte order mark, no ``NaN``, no ``Infinity``. Pure.

Texts of strangers have a bound for their values too (``most``): a text of 4 MiB may hold two million, and each costs far more than
its two bytes once it is read.

RFC 8259 section 4 leaves it to each reader what a name that stands twice means, so that two readers could act on two values.
Section 6 has no ``NaN`` and no ``Infinity``, which Python's ``json`` takes. What the values mean is the caller's to check.
Not checked: the size of the text in bytes, and lone surrogates in strings.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final, NoReturn


class NameTwice(ValueError):
    """An object has a name twice: ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__("a key stands twice")
        self.name = name


class TooDeep(ValueError):
    """Arrays and objects are nested more deeply than the interpreter's stack allows."""

    def __init__(self) -> None:
        super().__init__("nested too deeply")


class TooMany(ValueError):
    """The text has more values than the reader takes."""

    def __init__(self, most: int) -> None:
        super().__init__(f"got more than {most} of , [ and {{, want fewer members and items")


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for name, _value in pairs:
            if name in seen:
                raise NameTwice(name)
            seen.add(name)
    return members


# Every value but the first stands behind one of these.
_MARKS: Final = (b",", b"[", b"{")
_COUNTED_WHOLE: Final = 64 * 1024


def require_few(data: bytes, most: int) -> None:
    """Refuse (``TooMany``) a text with more than ``most`` commas and opening brackets, those inside strings included.

    So it has at most ``most + 1`` values, names not counted, and no more levels. Costs no more than looking through the bytes.
    """
    if len(data) <= _COUNTED_WHOLE:
        if sum(map(data.count, _MARKS)) > most:
            raise TooMany(most)
        return
    # A long text is left at the first mark that is too many: counting four million costs as much as reading a request.
    left = most
    for mark in _MARKS:
        at = data.find(mark)
        while at >= 0:
            left -= 1
            if left < 0:
                raise TooMany(most)
            at = data.find(mark, at + 1)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"got {word}, want a number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_each_name_once, parse_constant=_refuse)


def read(
    data: bytes | str,
    *,
    most: int | None = None,
    parse_int: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """Read one JSON text; ``ValueError`` for anything else (``NameTwice``, ``TooDeep``, ``JSONDecodeError``, ``UnicodeDecodeError``).

    ``most``: how many commas and opening brackets the text may have (``require_few``); it is for bytes.
    ``parse_int`` and ``parse_float`` are given the text of a number and return its value, or refuse it by an exception of their own;
    ``parse_float`` is given ``NaN`` and ``Infinity`` too.
    """
    if most is not None and isinstance(data, bytes):
        require_few(data, most)
    decoder = _DECODER
    if parse_int is not None or parse_float is not None:
        decoder = json.JSONDecoder(
            object_pairs_hook=_each_name_once,
            parse_int=parse_int,
            parse_float=parse_float,
            parse_constant=parse_float or _refuse,
        )
    try:
        return decoder.decode(data.decode("utf-8") if isinstance(data, bytes) else data)
    except RecursionError:
        raise TooDeep from None


def read_value(text: str, start: int) -> tuple[Any, int]:
    """Read the one value that begins at ``start``; returns it and where it ends. ``ValueError`` as in ``read``.

    For documents whose signature is over the text of one member.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise TooDeep from None
