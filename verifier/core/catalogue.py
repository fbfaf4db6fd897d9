"""What a check id means, and what to change when it says no: the form in which it is written down. Pure.

Every folder that says no has a ``checks.toml``: one table an id, with ``meaning`` and ``remedy``. ``tee.catalogue`` finds it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class CheckText:
    """``meaning``: what is checked, or what is wrong. ``remedy``: one clause for the operator, "" where the meaning says it all."""

    meaning: str
    remedy: str = ""


def read_catalogue(text: str) -> Mapping[str, CheckText]:
    """Read a ``checks.toml``; what it holds beside ``meaning`` and ``remedy`` is a programmer's error (``TypeError``)."""
    return MappingProxyType({check_id: CheckText(**entry) for check_id, entry in tomllib.loads(text).items()})
