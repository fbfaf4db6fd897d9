"""What a document is before it is validated: plain values, and the limits that JSON and YAML share. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: beyond, programs disagree about the value
MAX_GOT = 120
INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class PlainDocument:
    """One document as plain values; ``where`` is ``file#index`` (the index counts from 1)."""

    where: str
    value: dict[str, Any]


class Complaint(Exception):
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
