"""``python -m benchmarks.store [--rows N] [--against REV]``: what a record costs in the store, beside another revision.

Both builds fill a store of their own with the same records by 16 threads, walk its chain, and purge all evidence: SQLite in a
temporary folder, PostgreSQL on a server of this run where Debian's package is there. ``--rows`` is 10,000 without the option, which
takes a minute; 1,000,000 takes an hour.

Targets: at most 4,096 bytes of SQLite a record, spent nonces and indices included, and at most 1.25 times the other's CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.builds import BEFORE, Build, build_of, this_build
from benchmarks.measure import Ratio, at_most, cores, note, pinned, report, told

MOST_BYTES = 4096.0
CPU_LIMIT = 1.25  # groups of commits differ between builds and runs: a third of what a record costs hangs on them
_LOAD = Path(__file__).with_name("load.py")
_LONG_S = 6 * 3600


def main() -> int:
    """Measure and compare."""
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--rows", type=int, default=10_000)
    options.add_argument("--against", default=BEFORE)
    options.add_argument("--rounds", type=int, default=3)
    asked, _rest = options.parse_known_args(sys.argv[1:])
    ratios: list[Ratio] = []
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        builds = (this_build(), stack.enter_context(build_of(asked.against)))
        folder = Path(name)
        files = iter(range(1_000_000))
        ratios += _compare("SQLite", builds, asked.rounds, asked.rows, lambda: f"sqlite:///{folder}/{next(files)}.db")
        server = _postgresql(stack)
        if server is not None:
            ratios += _compare("PostgreSQL", builds, asked.rounds, asked.rows, server)
    return report(ratios)


def _postgresql(stack: ExitStack) -> Callable[[], str] | None:
    try:
        import pytest

        from tests.support.postgresql import postgres_server

        try:
            return stack.enter_context(postgres_server()).new_database
        except pytest.skip.Exception:
            pass
    except ImportError:
        pass
    note("store: PostgreSQL is left out: it is not here")
    return None


def _compare(kind: str, builds: Sequence[Build], rounds: int, rows: int, url: Callable[[], str]) -> list[Ratio]:
    figures: list[list[Mapping[str, float]]] = [[], []]
    core, _ = cores()
    for number in range(rounds):
        for at, build in enumerate(builds):
            command = [*build.command("python"), str(_LOAD), url(), str(rows)]
            figures[at].append(json.loads(pinned(core, command, timeout_s=_LONG_S)))
        note(f"store: {kind}, round {number + 1}: {figures[0][-1]} beside {figures[1][-1]}")

    def both(name: str) -> tuple[list[float], list[float]]:
        return [one[name] for one in figures[0]], [one[name] for one in figures[1]]

    name = f"{kind}, {rows} rows"
    ratios = [
        at_most(f"{name}: insert (CPU of a record)", *both("insert_cpu_us"), CPU_LIMIT, "us"),
        told(f"{name}: insert (wall)", *both("insert_s"), "s"),
        told(f"{name}: verify (wall)", *both("verify_s"), "s"),
        told(f"{name}: purge of all evidence (wall)", *both("purge_s"), "s"),
        told(f"{name}: bytes a record", *both("bytes"), "B"),
    ]
    if kind == "SQLite":
        limit = [MOST_BYTES] * rounds
        ratios.append(at_most(f"{name}: bytes a record beside the limit", both("bytes")[0], limit, 1.0, "B"))
    return ratios


if __name__ == "__main__":
    sys.exit(main())
