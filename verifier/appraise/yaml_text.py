"""YAML to plain values. Pure; raises ``ConfigError`` and nothing else.

Why so narrow: Terraform's ``yamldecode`` and every other YAML reader must find the same values in the same file. So a plain
(unquoted) scalar is ``true``, ``false``, ``null``, a JSON integer, or text that no YAML version takes for anything else; what
YAML 1.1 or 1.2 could read as a boolean, number, date or null otherwise must be quoted. Anchors, aliases, merge keys, tags,
directives, duplicate keys, keys that are no text, and fractions are refused: no document of ours has a use for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from verifier.appraise.plain import INTEGER, MAX_DEPTH, MAX_INTEGER, Complaint, shorten
from verifier.formats.errors import ConfigError

_CONSTANTS = {"true": True, "false": False, "null": None}
# Words that some YAML reader takes for a boolean or null; compared without case.
_AMBIGUOUS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", "", "=", "<<", "nan", "inf"))
_NUMBER_LIKE = frozenset("0123456789+-.")
# YAML 1.1 takes these for line breaks, YAML 1.2 and JSON for text.
_DISPUTED_BREAK = re.compile("[\x85\u2028\u2029]")


def _plain_scalar(text: str) -> Any:
    """Read an unquoted scalar."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if INTEGER.fullmatch(text) is not None and abs(int(text)) <= MAX_INTEGER and text != "-0":
        return int(text)
    if text.lower() in _AMBIGUOUS or text[0] in _NUMBER_LIKE:
        raise Complaint(
            "scalar",
            text,
            "true, false, null, a JSON integer, or text in quotes (YAML readers disagree about this one)",
        )
    return text


def _scalar(event: yaml.ScalarEvent) -> Any:
    if event.anchor is not None:
        raise Complaint("anchor", f"&{event.anchor}", "no anchors")
    if event.tag is not None:
        raise Complaint("tag", event.tag, "no tags")
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
                raise Complaint("key", shorten(value), "a key that is text (in quotes where it looks like a number)")
            if value in top:
                raise Complaint(value, "the key twice", "each key once")
            self._keys[-1] = value
            return
        top[key] = value
        self._keys[-1] = None

    def open(self, event: yaml.CollectionStartEvent, container: dict[str, Any] | list[Any]) -> None:
        if event.anchor is not None:
            raise Complaint("anchor", f"&{event.anchor}", "no anchors")
        if event.tag is not None:
            raise Complaint("tag", event.tag, "no tags")
        if len(self._stack) >= MAX_DEPTH:
            raise Complaint("nesting", "too deep", f"at most {MAX_DEPTH} levels")
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
    raise Complaint("alias", f"*{event.anchor}", "no aliases")


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
                    raise Complaint("directive", "%YAML or %TAG", "no directives")  # noqa: TRY301 - placed like the rest
                builder = _Builder()
            elif isinstance(event, yaml.DocumentEndEvent):
                yield builder.root
        except Complaint as error:
            line = event.start_mark.line + 1 if event.start_mark is not None else 0
            raise ConfigError(f"{where}:{line}", error.key, shorten(error.got), error.want) from None


def read_yaml(where: str, text: str) -> list[Any]:
    """Read the value of every document of a text."""
    if found := _DISPUTED_BREAK.search(text):
        raise ConfigError(where, "text", ascii(found.group()), "no NEL, LS or PS characters (escape them in quotes)")
    try:
        return list(_values(where, text))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 0
        raise ConfigError(f"{where}:{line}", "YAML", error.problem, "well-formed YAML") from None
    except yaml.YAMLError as error:
        raise ConfigError(where, "YAML", shorten(str(error)), "well-formed YAML") from None
