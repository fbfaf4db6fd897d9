"""Find or build the real parts: `python3 tools/parts.py <part>` prints where the part is.

Runs before any virtualenv exists, so only with what Python itself brings.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info < (3, 11):  # noqa: UP036 - an old python3 on PATH is the very case
    sys.stderr.write("Python 3.11 or newer is needed: install it, or name it with `make PYTHON=/path/to/python3.11`.\n")
    sys.exit(3)

# Called as a file, Python puts tools/ on the path, where a folder of ours could shadow a module of its own.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from tools.realparts.cli import run  # noqa: E402

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
