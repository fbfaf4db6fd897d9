"""``python -m tests.differential [--count N] [--seed S] [--format json]``: every comparison, with its figures. 1: a disagreement."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.differential.runs import RUNS, run_all
from tests.support.oracles import oracles_binary


def main() -> int:
    """Run them and print a line each."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="mutations a comparison")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=("text", "json"), default="text", dest="output_format")
    chosen = parser.parse_args()
    tallies = run_all(Path(oracles_binary()), seed=chosen.seed, count=chosen.count)
    figures = {name: tally.as_json() for name, tally in tallies.items()}
    if chosen.output_format == "json":
        print(json.dumps(figures, indent=2))
    else:
        for name, figure in figures.items():
            print(f"{name} (beside {RUNS[name].peer}): {json.dumps(figure)}")
    for name, tally in tallies.items():
        for text in tally.unexplained:
            print(f"DISAGREEMENT {name}: {text}", file=sys.stderr)
    return 1 if any(tally.unexplained for tally in tallies.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
