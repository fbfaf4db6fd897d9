"""Version numbers as programs print them."""

from __future__ import annotations

import re

Version = tuple[int, ...]


def find_version(text: str | None) -> Version | None:
    """Return the first dotted number in a text, (1, 21, 1) for `Vault v1.21.1 (…)`."""
    match = re.search(r"\d+(?:\.\d+)+", text or "")
    return tuple(int(number) for number in match.group().split(".")) if match else None


def dotted(version: Version) -> str:
    """Write a version as people do."""
    return ".".join(str(number) for number in version)
