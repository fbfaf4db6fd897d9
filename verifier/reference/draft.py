"""Drafts of trust documents: identities with their origin, and a policy that pins them. Pure.

A draft is what the trust owner reads before it counts: it is checked like any other document when it is loaded, and signed where
the tenant demands it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from verifier.appraise.documents import validate
from verifier.formats.errors import ConfigError
from verifier.tee.scheme import Scheme
from verifier.tee.values import Values

_PLAIN_KEY: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*", re.ASCII)
# Words that some YAML reader takes for something else than text.
_NOT_PLAIN: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"))
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_LAST_BMP, _LAST_BYTE = 0xFFFF, 0xFF


def draft_identity(
    *,
    scheme: str,
    kind: str,
    name: str,
    tenant: str,
    version: int,
    values: Mapping[str, Any],
    origin: str | Mapping[str, str],
) -> dict[str, Any]:
    """Write an identity as a plain document."""
    return {
        "document": "identity",
        "kind": kind,
        "scheme": scheme,
        "name": name,
        "tenant": tenant,
        "version": version,
        "origin": origin if isinstance(origin, str) else dict(origin),
        "values": dict(values),
    }


def draft_policy(
    scheme: Scheme[Any, Any], *, name: str, tenant: str, version: int, identities: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Write a policy that pins these identities and names everything that they leave open under ``unchecked``.

    Nothing can excuse the class ``config`` or a mandatory rule: a draft that lacks one of them says so with ``ConfigError``.
    """
    named = {str(one["kind"]): one for one in identities}
    mandatory = {(r.scope, r.field) for r in scheme.appraisal.rules if r.mandatory}
    unchecked: list[str] = []
    for scope, model in scheme.appraisal.models.items():
        if scope not in named:
            if scope == "config" or any(place[0] == scope for place in mandatory):
                raise ConfigError("policy", scope, "no identity of it", "one: it cannot be unchecked")
            unchecked.append(scope)
            continue
        values = named[scope]["values"]
        for field in model.model_fields:
            if field not in values:
                if scope == "config" or (scope, field) in mandatory:
                    raise ConfigError("policy", f"{scope}.{field}", "no value", "one: it cannot be unchecked")
                unchecked.append(f"{scope}.{field}")
        unchecked += _open_keys(scope, model, values)
    pins = {scope: [{"name": one["name"], "version": one["version"]}] for scope, one in named.items()}
    policy = {"document": "policy", "scheme": scheme.name, "name": name, "tenant": tenant, "version": version, **pins}
    return {**policy, "unchecked": unchecked} if unchecked else policy


def _open_keys(scope: str, model: type[Values], values: Mapping[str, Any]) -> list[str]:
    """Name what is left open below fields that are given: members of records, and keys that a map has to answer for."""
    form = validate(model, "draft", dict(values), "values").model_dump(mode="json")
    found: list[str] = []
    for field in values:
        found += [f"{scope}.{field}.{path}" for path in _nothing_at(form[field])]
        if isinstance(values[field], Mapping):
            space = model.key_space.get(field, ())
            found += [f"{scope}.{field}.{key}" for key in space if key not in values[field]]
    return found


def _nothing_at(value: Any) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    found = []
    for key, item in value.items():
        found += [key] if item is None else [f"{key}.{path}" for path in _nothing_at(item)]
    return found


def as_yaml(documents: Sequence[Mapping[str, Any]]) -> str:
    """Write documents as YAML with JSON's scalar forms only, which every reader takes alike."""
    return "---\n".join("".join(_lines(document, 0)) for document in documents)


def _lines(table: Mapping[str, Any], indent: int) -> list[str]:
    lines = []
    for key, value in table.items():
        lead = f"{'  ' * indent}{_key(str(key))}:"
        if isinstance(value, Mapping) and value:
            lines += [f"{lead}\n", *_lines(value, indent + 1)]
        elif isinstance(value, list | tuple) and value:
            lines += [f"{lead}\n", *(f"{'  ' * (indent + 1)}- {_flow(item)}\n" for item in value)]
        else:
            lines.append(f"{lead} {_flow(value)}\n")
    return lines


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if isinstance(value, int) else _text(str(value))


def _key(text: str) -> str:
    return text if _PLAIN_KEY.fullmatch(text) and text.lower() not in _NOT_PLAIN else _text(text)


def _text(text: str) -> str:
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if char.isascii() and char.isprintable():
        return char
    if code <= _LAST_BYTE:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _LAST_BMP else f"\\U{code:08x}"
