"""What the source says of itself: the string constants in it that look like check ids."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def constants_like_ids(folder: str, prefix: str) -> frozenset[str]:
    """Return every string constant ``<prefix>.<noun>[.<noun>]`` in the Python files of a folder of ``verifier/tee``, docstrings aside.

    The case form of the same name (``verifier/cases/platforms``) counts as one of its files.
    """
    pattern = re.compile(re.escape(prefix) + r"(\.[a-z0-9][a-z0-9_-]*){1,4}", re.ASCII)
    found: set[str] = set()
    files = sorted((ROOT / folder).rglob("*.py"))
    if not files:
        raise AssertionError(f"{folder}: no Python files there")
    names = {Path(folder).name, prefix.replace("-", "_")}
    files += [file for name in names if (file := ROOT / "verifier" / "cases" / "platforms" / f"{name}.py").is_file()]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value):
                found.add(node.value)
    return frozenset(found)
