"""What the benchmarks of verification share: the clock, rivals that are built from Go modules, targets and the report."""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Numerator, denominator, bound, whether the ratio has to stay below it.
Target = tuple[str, str, float, bool]


class MissingPartError(Exception):
    """What the benchmark needs and this machine has not."""


def timed(work: Callable[[], object], seconds: float) -> float:
    """Return the median microseconds of a call, over about that many seconds: neighbours that interrupt do not move it."""
    work()
    calls: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        work()
        calls.append(time.perf_counter() - start)
    return statistics.median(calls) * 1e6


def go(*arguments: str, cwd: Path) -> str:
    """Run the Go command and return what it printed."""
    found = shutil.which("go")
    if found is None:
        raise MissingPartError(f"go: not on PATH; install Go 1.21 or later to measure against {cwd.name}")
    done = subprocess.run([found, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"go {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def go_built(module: Path, folder: Path) -> Path:
    """Build a rival's program into a folder."""
    program = folder / module.name
    go("build", "-o", str(program), ".", cwd=module)
    return program


Times = Mapping[str, Sequence[float]]  # microseconds of a verification by contender, one a round


def benchmark(name: str, about: str, targets: Mapping[str, Target], measure: Callable[[int, float], Times]) -> int:
    """Measure, print medians and ratios (``--format json`` for programs), and return the exit status: 1 when a target was missed.

    ``measure`` is given the rounds and the seconds of a contender and round.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about.splitlines()[0])
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="a contender and round")
    options = parser.parse_args()
    try:
        medians, ratios = judge(measure(options.rounds, options.seconds), targets)
    except MissingPartError as error:
        print(error, file=sys.stderr)
        return 3
    if options.format == "json":
        print(json.dumps({"microseconds": {k: round(v, 1) for k, v in medians.items()}, "ratios": ratios}, indent=1))
    else:
        for one, value in medians.items():
            print(f"{one:28} {value:9.1f} µs")
        for one, result in ratios.items():
            sign = "≤" if result["at_most"] else "≥"
            verdict = "met" if result["met"] else "MISSED"
            print(f"{one:28} {result['ratio']:9.3f}    target {sign} {result['target']}: {verdict}")
    return 0 if all(result["met"] for result in ratios.values()) else 1


def judge(times: Times, targets: Mapping[str, Target]) -> tuple[dict[str, float], dict[str, dict[str, float | bool]]]:
    """Return medians, and each target's ratio (the median of the rounds' own ratios) with its verdict."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios: dict[str, dict[str, float | bool]] = {}
    for name, (above, below, bound, at_most) in targets.items():
        ratio = statistics.median(a / b for a, b in zip(times[above], times[below], strict=True))
        met = ratio <= bound if at_most else ratio >= bound
        ratios[name] = {"ratio": round(ratio, 3), "target": bound, "at_most": at_most, "met": met}
    return medians, ratios
