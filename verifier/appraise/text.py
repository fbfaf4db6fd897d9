"""Text to plain documents: YAML with JSON's scalar forms only, or JSON. Pure; raises ``ConfigError`` and nothing else.

Why so narrow: Terraform's ``yamldecode`` and every other YAML reader must find the same values in the same file. So a plain
(unquoted) scalar is ``true``, ``false``, ``null``, a JSON integer, or text that no YAML version takes for anything else; what
YAML 1.1 or 1.2 could read as a boolean, number, date or null otherwise must be quoted. Anchors, aliases, merge keys, tags,
directives, duplicate keys, keys that are no text, and fractions are refused: no document of ours has a use for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from verifier.formats import strict_json
from verifier.formats.errors import ConfigError

MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond, programs disagree about the value
MAX_GOT = 120

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})", re.ASCII)
_CONSTANTS = {"true": True, "false": False, "null": None}
# Words that some YAML reader takes for a boolean or null; compared without case.
_AMBIGUOUS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", "", "=", "<<", "nan", "inf"))
_NUMBER_LIKE = frozenset("0123456789+-.")
# YAML 1.1 takes these for line breaks, YAML 1.2 and JSON for text.
_DISPUTED_BREAK = re.compile("[\x85\u2028\u2029]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PlainDocument:
    """One document as plain values; ``where`` is ``file#index`` (the index counts from 1)."""

    where: str
    value: dict[str, Any]


class _Complaint(Exception):
    """A finding inside a document, before the document's place is known."""

    def __init__(self, key: str, got: object, want: str) -> None:
        super().__init__(want)
        self.key = key
        self.got = got
        self.want = want


def shorten(got: object) -> object:
    """Cut what an error shows of the operator's input; numbers, booleans and short text stay as they are."""
    text = got if isinstance(got, str) else repr(got)
    return got if len(text) <= MAX_GOT else text[:MAX_GOT] + "…"


def read_documents(where: str, unverified_bytes: bytes, *, json_form: bool) -> list[PlainDocument]:
    """Read every document of a file. JSON holds one object, or an array of them; YAML several separated by ``---``."""
    try:
        text = unverified_bytes.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(where, "encoding", f"byte {error.start}", "UTF-8") from None
    if text.startswith("\ufeff"):
        raise ConfigError(where, "encoding", "a byte order mark", "UTF-8 without it")
    values = _read_json(where, text) if json_form else _read_yaml(where, text)
    documents = []
    for index, value in enumerate(values, start=1):
        place = f"{where}#{index}"
        if not isinstance(value, dict):
            raise ConfigError(place, "document", shorten(value), "a mapping")
        documents.append(PlainDocument(place, value))
    if not documents:
        raise ConfigError(where, "document", "nothing", "at least one document")
    return documents


# --- JSON -------------------------------------------------------------------------------------------------------------


def _refuse_number(text: str) -> Any:
    raise _Complaint("number", text, "an integer: no value here has a fraction or an exponent")


def _json_integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None or abs(int(text)) > MAX_INTEGER:
        raise _Complaint("number", shorten(text), f"an integer of at most {MAX_INTEGER}")
    return int(text)


def _read_json(where: str, text: str) -> list[Any]:
    try:
        value = strict_json.read(text, parse_int=_json_integer, parse_float=_refuse_number)
        values = value if isinstance(value, list) else [value]
        for item in values:
            _check_plain(item, 0)
    except _Complaint as error:
        raise ConfigError(where, error.key, shorten(error.got), error.want) from None
    except json.JSONDecodeError as error:
        raise ConfigError(where, f"line {error.lineno}", error.msg, "JSON") from None
    except strict_json.NameTwice as error:
        raise ConfigError(where, error.name, "the key twice", "each key once") from None
    except strict_json.TooDeep:
        raise ConfigError(where, "nesting", "too deep", f"at most {MAX_DEPTH} levels") from None
    return values


def _check_plain(value: Any, depth: int) -> None:
    """Refuse what JSON's own grammar lets through: deep nesting and lone surrogates (no UTF-8 form exists)."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise _Complaint("text", ascii(value), "Unicode text without lone surrogates")
    elif isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            raise _Complaint("nesting", "too deep", f"at most {MAX_DEPTH} levels")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth + 1)
        for key in value if isinstance(value, dict) else ():
            _check_plain(key, depth + 1)


# --- YAML -------------------------------------------------------------------------------------------------------------


def _plain_scalar(text: str) -> Any:
    """Read an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text) is not None and abs(int(text)) <= MAX_INTEGER and text != "-0":
        return int(text)
    if text.lower() in _AMBIGUOUS or text[0] in _NUMBER_LIKE:
        raise _Complaint(
            "scalar",
            text,
            "true, false, null, a JSON integer, or text in quotes (YAML readers disagree about this one)",
        )
    return text


def _scalar(event: yaml.ScalarEvent) -> Any:
    if event.anchor is not None:
        raise _Complaint("anchor", f"&{event.anchor}", "no anchors")
    if event.tag is not None:
        raise _Complaint("tag", event.tag, "no tags")
    plain, _quoted = event.implicit
    return _plain_scalar(event.value) if plain else event.value


class _Builder:
    """Builds one document's value from the parser's events, without recursion."""

    __slots__ = ("_keys", "_stack", "root")

    def __init__(self) -> None:
        self.root: Any = None
        self._stack: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []  # the pending key of each open container

    def put(self, value: Any) -> None:
        if not self._stack:
            self.root = value
            return
        top = self._stack[-1]
        if isinstance(top, list):
            top.append(value)
            return
        key = self._keys[-1]
        if key is None:
            if not isinstance(value, str):
                raise _Complaint("key", shorten(value), "a key that is text (in quotes where it looks like a number)")
            if value in top:
                raise _Complaint(value, "the key twice", "each key once")
            self._keys[-1] = value
            return
        top[key] = value
        self._keys[-1] = None

    def open(self, event: yaml.CollectionStartEvent, container: dict[str, Any] | list[Any]) -> None:
        if event.anchor is not None:
            raise _Complaint("anchor", f"&{event.anchor}", "no anchors")
        if event.tag is not None:
            raise _Complaint("tag", event.tag, "no tags")
        if len(self._stack) >= MAX_DEPTH:
            raise _Complaint("nesting", "too deep", f"at most {MAX_DEPTH} levels")
        self.put(container)
        self._stack.append(container)
        self._keys.append(None)

    def close(self) -> None:
        self._stack.pop()
        self._keys.pop()


def _open_mapping(builder: _Builder, event: Any) -> None:
    builder.open(event, {})


def _open_sequence(builder: _Builder, event: Any) -> None:
    builder.open(event, [])


def _close(builder: _Builder, event: Any) -> None:
    del event
    builder.close()


def _put_scalar(builder: _Builder, event: Any) -> None:
    builder.put(_scalar(event))


def _refuse_alias(builder: _Builder, event: Any) -> None:
    del builder
    raise _Complaint("alias", f"*{event.anchor}", "no aliases")


_HANDLERS: dict[type[yaml.Event], Callable[[_Builder, Any], None]] = {
    yaml.ScalarEvent: _put_scalar,
    yaml.MappingStartEvent: _open_mapping,
    yaml.MappingEndEvent: _close,
    yaml.SequenceStartEvent: _open_sequence,
    yaml.SequenceEndEvent: _close,
    yaml.AliasEvent: _refuse_alias,
}


def _values(where: str, text: str) -> Iterator[Any]:
    builder = _Builder()
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        handler = _HANDLERS.get(type(event))
        try:
            if handler is not None:
                handler(builder, event)
            elif isinstance(event, yaml.DocumentStartEvent):
                if event.version is not None or event.tags:
                    raise _Complaint("directive", "%YAML or %TAG", "no directives")  # noqa: TRY301 - placed like the rest
                builder = _Builder()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield builder.root
        except _Complaint as error:
            line = event.start_mark.line + 1 if event.start_mark is not None else 0
            raise ConfigError(f"{where}:{line}", error.key, shorten(error.got), error.want) from None


def _read_yaml(where: str, text: str) -> list[Any]:
    if found := _DISPUTED_BREAK.search(text):
        raise ConfigError(where, "text", ascii(found.group()), "no NEL, LS or PS characters (escape them in quotes)")
    try:
        return list(_values(where, text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        raise ConfigError(f"{where}:{line}", "YAML", error.problem, "well-formed YAML") from None
    except yaml.YAMLError as error:
        raise ConfigError(where, "YAML", shorten(str(error)), "well-formed YAML") from None
