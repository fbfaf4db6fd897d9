"""Migrate a database with the migrations of a folder, or the program's own."""

from __future__ import annotations

import sys
from pathlib import Path

from verifier.adapters.sql import migrate

if len(sys.argv) > 2:  # noqa: PLR2004 - program, URL, folder
    print(migrate(sys.argv[1], migrations=Path(sys.argv[2])))  # noqa: T201
else:
    print(migrate(sys.argv[1]))  # noqa: T201
