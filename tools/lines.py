"""``python -m tools.lines [--at REV]…``: lines of Python by folder, of this work tree or of revisions, side by side.

A line is what ``wc -l`` counts, in every tracked ``*.py``, comments and blank lines with them. The product is ``verifier/``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[1]
# Folders whose own folders are told too.
_OPENED = ("verifier", "attester", "tests")
PRODUCT = "verifier"


def folder_of(path: str) -> tuple[str, ...]:
    """Return the folder that a file is counted under: the first part of its path, or two of them below an opened folder."""
    parts = PurePosixPath(path).parts[:-1]
    if not parts:
        return (".",)
    return parts[:2] if parts[0] in _OPENED else parts[:1]


def lines_at(revision: str) -> Counter[tuple[str, ...]]:
    """Count the lines of a revision by folder."""
    listed = _git("ls-tree", "-r", "-z", "--format=%(objectname) %(path)", revision).split("\0")
    entries = [entry.split(" ", 1) for entry in listed if entry.endswith(".py")]
    batch = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=ROOT, input="".join(f"{name}\n" for name, _path in entries).encode(),
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    counted: Counter[tuple[str, ...]] = Counter()
    at = 0
    for _name, path in entries:
        end = batch.index(b"\n", at)
        size = int(batch[at:end].split()[2])
        counted[folder_of(path)] += batch.count(b"\n", end + 1, end + 1 + size)
        at = end + 1 + size + 1
    return counted


def lines_here() -> Counter[tuple[str, ...]]:
    """Count the lines of this work tree by folder: files that git tracks, as they are now."""
    counted: Counter[tuple[str, ...]] = Counter()
    for path in _git("ls-files", "-z", "*.py").split("\0"):
        if path and (ROOT / path).is_file():
            counted[folder_of(path)] += (ROOT / path).read_bytes().count(b"\n")
    return counted


def table(columns: dict[str, Counter[tuple[str, ...]]]) -> str:
    """Return the counts as text: a row for each folder, a sum for each opened folder, the product and all last."""
    folders = sorted({folder for counted in columns.values() for folder in counted})
    rows: list[tuple[str, list[int]]] = []
    for top in sorted({folder[0] for folder in folders}):
        inside = [folder for folder in folders if folder[0] == top]
        rows.append((f"{top}/" if top != "." else "(top)", [sum(c[f] for f in inside) for c in columns.values()]))
        if len(inside) > 1:
            named = [("/".join(folder) + ("/" if len(folder) > 1 else "/*.py"), folder) for folder in inside]
            rows += [(f"  {name}", [counted[folder] for counted in columns.values()]) for name, folder in named]
    rows.append(("product (verifier/)", [sum(n for f, n in c.items() if f[0] == PRODUCT) for c in columns.values()]))
    rows.append(("all", [c.total() for c in columns.values()]))
    width = max(len(name) for name, _counts in rows)
    head = " " * width + "".join(f"{name[:12]:>13}" for name in columns)
    return "\n".join(
        [head, *(f"{name:<{width}}" + "".join(f"{count:>13,}" for count in counts) for name, counts in rows)]
    )


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"lines: git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Lines of Python by folder.")
    parser.add_argument("--at", action="append", metavar="REV", default=[], help="A revision; repeat for columns.")
    parser.add_argument("--here", action="store_true", help="This work tree beside the revisions.")
    arguments = parser.parse_args()
    columns = {revision: lines_at(revision) for revision in arguments.at}
    if arguments.here or not columns:
        columns["here"] = lines_here()
    print(table(columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
