"""Text to plain documents: YAML with JSON's scalar forms only, or JSON. Pure; raises ``ConfigError`` and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

from verifier.appraise.plain import INTEGER, MAX_DEPTH, MAX_INTEGER, Complaint, PlainDocument, shorten
from verifier.formats import strict_json
from verifier.formats.errors import ConfigError

_SURROGATE = re.compile("[\ud800-\udfff]")


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


def _refuse_number(text: str) -> Any:
    raise Complaint("number", text, "an integer: no value here has a fraction or an exponent")


def _json_integer(text: str) -> int:
    if INTEGER.fullmatch(text) is None or abs(int(text)) > MAX_INTEGER:
        raise Complaint("number", shorten(text), f"an integer of at most {MAX_INTEGER}")
    return int(text)


def _read_json(where: str, text: str) -> list[Any]:
    try:
        value = strict_json.read(text, parse_int=_json_integer, parse_float=_refuse_number)
        values = value if isinstance(value, list) else [value]
        for item in values:
            _check_plain(item, 0)
    except Complaint as error:
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
            raise Complaint("text", ascii(value), "Unicode text without lone surrogates")
    elif isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            raise Complaint("nesting", "too deep", f"at most {MAX_DEPTH} levels")
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(item, depth + 1)
        for key in value if isinstance(value, dict) else ():
            _check_plain(key, depth + 1)


def _read_yaml(where: str, text: str) -> list[Any]:
    # PyYAML is loaded for text that is YAML: the usual start finds the documents compiled.
    from verifier.appraise.yaml_text import read_yaml

    return read_yaml(where, text)
