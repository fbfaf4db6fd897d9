"""JSON in which each name stands once: UTF-8 without a byte order mark, no ``NaN``, no ``Infinity``. Pure.

RFC 8259 section 4 leaves it to each reader what a name that stands twice means, so that two readers could act on two values.
Section 6 has no ``NaN`` and no ``Infinity``, which Python's ``json`` takes. What the values mean is the caller's to check.
Not checked: the size of the text, and lone surrogates in strings.
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


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _value in pairs]
        raise NameTwice(next(name for name in names if names.count(name) > 1))
    return members


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"got {word}, want a number")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_each_name_once, parse_constant=_refuse)


def read(
    data: bytes | str,
    *,
    parse_int: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """Read one JSON text; ``ValueError`` for anything else (``NameTwice``, ``TooDeep``, ``JSONDecodeError``, ``UnicodeDecodeError``).

    ``parse_int`` and ``parse_float`` are given the text of a number and return its value, or refuse it by an exception of their own;
    ``parse_float`` is given ``NaN`` and ``Infinity`` too.
    """
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
