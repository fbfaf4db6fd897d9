"""Files that lie inside a package: vendors' roots, texts of check ids, words."""

from __future__ import annotations

from pkgutil import get_data


def packaged(package: str, name: str) -> bytes:
    """Read a file by its path below a package, parts joined by "/". Raises ``OSError`` where it is not there.

    ``importlib.resources`` does the same and imports ``tempfile`` and ``zipfile`` for it: a twentieth of one ``verifier appraise``.
    """
    data = get_data(package, name)
    if data is None:
        raise FileNotFoundError(f"{package}: its loader reads no files, so {name} cannot be read")
    return data
