"""The home of check ids: every id with its meaning and its remedy, read from the ``checks.toml`` of the folder that says it.

A folder is read when one of its ids is asked for: nothing is read while all is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from verifier.core.catalogue import CheckText, read_catalogue
from verifier.tee.registry import SCHEMES

FILE: Final = "checks.toml"
# Evidence that stands beside others and has no scheme of its own, and the folder of each.
_BESIDE: Final[Mapping[str, str]] = MappingProxyType({"tcg-eventlog": "tcg", "ccel": "ccel", "ima": "ima"})
_CORE: Final = "verifier.core"
# What is true of every part and every endorsement, where nothing more exact is written down.
_DECODE: Final = (
    "have the attester send this part as the hardware gave it: whole, unchanged, in the layout of the scheme's page"
)
_ENDORSEMENT: Final = (
    "give the verifier this endorsement: let it fetch it, import a bundle, or put the file beside the evidence"
)


def _package(check_id: str) -> str:
    """Name the package whose file has an id: the scheme's folder, or ``core`` for ids that belong to no scheme."""
    first = check_id.partition(".")[0]
    if first in SCHEMES:
        return f"verifier.tee.{first.replace('-', '_')}"
    return f"verifier.tee.{_BESIDE[first]}" if first in _BESIDE else _CORE


@cache
def _texts(package: str) -> Mapping[str, CheckText]:
    return read_catalogue(files(package).joinpath(FILE).read_text(encoding="utf-8"))


def text_of(check_id: str) -> CheckText | None:
    """Return what is written down of an id; ``None`` for one that is not there."""
    return _texts(_package(check_id)).get(check_id)


def remedy_of(check_id: str) -> str:
    """Return what to change when this id says no; "" for none known (the empty id too)."""
    text = text_of(check_id)
    if text is not None and text.remedy:
        return text.remedy
    noun = check_id.partition(".")[2]
    if noun.startswith("decode."):
        return _DECODE
    return _ENDORSEMENT if noun.startswith("endorsement.") else ""


def all_texts() -> Iterator[tuple[str, CheckText]]:
    """Go through every id that is written down, core's first, then by scheme, in the order of the files."""
    names = (*SCHEMES, *_BESIDE)
    for package in (_CORE, *(_package(f"{name}.") for name in names)):
        yield from _texts(package).items()
