"""What this product is called and which version of it runs.

The version is the one of the installed distribution, which ``pyproject.toml`` states. It is read once, at import.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

NAME: Final = "vault-attestation-bridge"
VERSION: Final = version(NAME)
BUILD: Final = f"{NAME} {VERSION}"
