"""Where the source is, and the string constants in it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def undocumented(name: str, ids: Iterable[str]) -> list[str]:
    """Return the ids that the page of a scheme or platform does not have."""
    text = (ROOT / "docs" / "tee" / f"{name}.md").read_text(encoding="utf-8")
    return sorted(one for one in ids if f"`{one}`" not in text)


def modules(*folders: str) -> Iterator[ast.Module]:
    """Read every Python file of folders of the repository."""
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield ast.parse(file.read_text(encoding="utf-8"))
