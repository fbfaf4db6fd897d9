"""What a check id means, and what to change when it says no: the form in which it is written down. Pure.

A package that says no has a ``checks.toml``: one table an id. ``tee.catalogue`` finds the verifier's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from verifier.core.packaged import packaged


@dataclass(frozen=True, slots=True)
class CheckText:
    """What is written down of an id.

    ``meaning``: what has to hold, where the id is a check's or a rule's; what is wrong, for every other.
    ``remedy``: one clause for the person who can act, "" where the meaning says it all.
    ``outcome``: which no it is, for an id that is neither in a scheme's tables of checks and rules; "check" for one that is like them,
    "warning" for one that refuses nothing.
    """

    meaning: str
    remedy: str = ""
    outcome: str = "malformed"


@dataclass(frozen=True, slots=True)
class Listed:
    """An id in a list. ``kind``: "check", "rule", or the outcome of an id that is neither."""

    id: str
    kind: str
    meaning: str
    remedy: str


@cache
def texts_in(package: str) -> Mapping[str, CheckText]:
    """Read a package's ``checks.toml``; what it holds beside the fields of ``CheckText`` is a programmer's error (``TypeError``)."""
    text = packaged(package, "checks.toml").decode()
    return MappingProxyType({check_id: CheckText(**entry) for check_id, entry in tomllib.loads(text).items()})
