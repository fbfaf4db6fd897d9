"""``python -m tools.graph [--at REV]``: which package imports which, drawn as a matrix; 1 where an arrow goes up or in a circle.

Packages stand in the order of the staircase (``pyproject.toml`` of that revision), the highest first; attester and forge beside it
come before. A mark means that the package of the row imports the package of the column. All marks are right of the diagonal:
a mark left of it is an arrow up. Modules are looked at for circles too, one by one. Imports for type checkers count.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
_STAIRCASE = "verifier"
# Beside the staircase: what may import parts of it, and is imported by nothing in it.
_BESIDE = ("attester", "attester.simulated", "forge")


@dataclass(frozen=True, slots=True)
class Graph:
    """``rows``: the packages, highest first, those of one step together. ``arrows``: (from, to) -> how many modules import.

    ``circles``: modules that import each other in a round, by the modules' names.
    """

    rows: tuple[tuple[str, ...], ...]
    arrows: Mapping[tuple[str, str], int]
    circles: tuple[tuple[str, ...], ...]

    @property
    def names(self) -> list[str]:
        """The packages in their order."""
        return [name for row in self.rows for name in row]

    def arrows_up(self) -> list[tuple[str, str]]:
        """Return the arrows that go up, or to a package of the same step."""
        step = {name: number for number, row in enumerate(self.rows) for name in row}
        return sorted(arrow for arrow in self.arrows if step[arrow[1]] <= step[arrow[0]])

    def text(self, *, counts: bool = False) -> str:
        """Draw the matrix; ``counts``: how many imports in place of a mark."""
        names = self.names
        width, cell = max(map(len, names)), 5 if counts else 3
        lines = [" " * (width + 4) + "".join(f"{number:>{cell}}" for number in range(1, len(names) + 1))]
        for number, name in enumerate(names, start=1):
            marks = []
            for other in names:
                found = self.arrows.get((name, other), 0)
                mark = "\\" if other == name else str(found) if counts and found else "●" if found else "·"
                marks.append(f"{mark:>{cell}}")
            lines.append(f"{number:>2}  {name:<{width}}" + "".join(marks))
        return "\n".join(lines)


def drawn(root: Path) -> Graph:
    """Read the packages of a checkout; nothing of them is run. Not for a process that has imported them."""
    rows = _rows(root)
    tops = [name for name in ("verifier", "attester", "forge") if (root / name / "__init__.py").is_file()]
    sys.path.insert(0, str(root))
    try:
        found = grimp.build_graph(*tops, cache_dir=None)
    finally:
        sys.path.remove(str(root))
    names = {name for row in rows for name in row}
    imports = [(module, other) for module in found.modules for other in found.find_modules_directly_imported_by(module)]
    ends = ((_package(module, names), _package(other, names)) for module, other in imports)
    arrows = Counter((one, other) for one, other in ends if one and other and one != other)
    used = {name for arrow in arrows for name in arrow}
    kept = tuple(row for row in (tuple(name for name in row if name in used) for row in rows) if row)
    return Graph(kept, arrows, _circles(imports))


def _rows(root: Path) -> list[tuple[str, ...]]:
    contracts = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (one["layers"] for one in contracts if one.get("containers") == [_STAIRCASE])
    steps = [tuple(word.strip(" ()") for word in layer.split("|")) for layer in layers]
    return [*((name,) for name in _BESIDE), *(tuple(f"{_STAIRCASE}.{name}" for name in step) for step in steps)]


def _package(module: str, names: set[str]) -> str | None:
    """Return the package of a module: the longest of the names that begins it; ``None`` for ``verifier`` itself."""
    fit = [name for name in names if module == name or module.startswith(f"{name}.")]
    return max(fit, key=len, default=None)


def _circles(imports: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Find the circles of modules: take away what imports nothing that is left, then what nothing that is left imports."""
    left = set(imports)
    while True:
        importing, imported = {one for one, _ in left}, {other for _, other in left}
        kept = {(one, other) for one, other in left if other in importing and one in imported}
        if kept == left:
            break
        left = kept
    groups: list[set[str]] = []
    for one, other in left:
        joined = [group for group in groups if one in group or other in group]
        groups = [group for group in groups if group not in joined] + [{one, other}.union(*joined)]
    return tuple(tuple(sorted(group)) for group in groups)


def drawn_at(revision: str) -> Graph:
    """Draw a revision, unpacked into a temporary folder."""
    names = ["pyproject.toml", "verifier", "attester"]
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", revision], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise SystemExit(f"graph: {listed.stderr.strip()}")
    names += ["forge"] if "forge" in listed.stdout.split() else []
    archive = subprocess.run(["git", "archive", revision, *names], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="vab-graph-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return drawn(Path(folder))


def main() -> int:
    """Draw, and say what is wrong."""
    parser = argparse.ArgumentParser(description="Draw which package imports which.")
    parser.add_argument("--at", metavar="REV", help="A revision; this work tree if not given.")
    parser.add_argument("--counts", action="store_true", help="How many imports, in place of marks.")
    arguments = parser.parse_args()
    graph = drawn_at(arguments.at) if arguments.at else drawn(ROOT)
    print(graph.text(counts=arguments.counts))
    up = graph.arrows_up()
    for one, other in up:
        print(f"arrow up: {one} imports {other}")
    for circle in graph.circles:
        print(f"circle: {', '.join(circle)}")
    print(f"{len(graph.names)} packages, {sum(graph.arrows.values())} imports between them, {len(up)} arrows up, "
          f"{len(graph.circles)} circles of modules")  # fmt: skip
    return 1 if up or graph.circles else 0


if __name__ == "__main__":
    sys.exit(main())
