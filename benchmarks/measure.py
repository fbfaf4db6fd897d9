"""What the benchmarks share: cores, alternating rounds, medians, ratios, a table, and the exit status."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Ratio:
    """One figure beside its rival's, from the same run. ``limit`` is the target: at most, or at least."""

    name: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    target: str
    met: bool


def at_most(name: str, ours: Sequence[float], theirs: Sequence[float], limit: float, unit: str) -> Ratio:
    """Compare medians: ours may be ``limit`` times theirs."""
    mine, rival = statistics.median(ours), statistics.median(theirs)
    return Ratio(name, mine, rival, unit, mine / rival, f"<= {limit}", mine / rival <= limit)


def at_least(name: str, ours: Sequence[float], theirs: Sequence[float], factor: float, unit: str) -> Ratio:
    """Compare medians of times: ours has to be ``factor`` times faster."""
    mine, rival = statistics.median(ours), statistics.median(theirs)
    return Ratio(name, mine, rival, unit, rival / mine, f">= {factor}", rival / mine >= factor)


def told(name: str, ours: Sequence[float], theirs: Sequence[float], unit: str) -> Ratio:
    """Compare without a target."""
    mine, rival = statistics.median(ours), statistics.median(theirs)
    return Ratio(name, mine, rival, unit, mine / rival, "told", met=True)


def pinned(core: int, command: Sequence[str], timeout_s: float = 600) -> str:
    """Run a command on one core and return what it printed."""
    done = subprocess.run(
        list(command), capture_output=True, text=True, check=False, timeout=timeout_s,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:4])} left with {done.returncode}: {done.stderr[-1500:]}")
    return done.stdout


def cores() -> tuple[int, int]:
    """Return the core of what is measured and another one, if there is one, for the load."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def report(ratios: Sequence[Ratio]) -> int:
    """Print the figures (``--format json`` for programs); 1 when a target was missed."""
    if "json" in sys.argv[1:]:
        print(json.dumps([asdict(ratio) for ratio in ratios]))
    else:
        for r in ratios:
            mark = "ok    " if r.met else "MISSED"
            print(
                f"{mark} {r.name}: {r.ours:.4g} {r.unit} beside {r.theirs:.4g} {r.unit}: ratio {r.ratio:.3f}, target {r.target}"
            )
    return 0 if all(ratio.met for ratio in ratios) else 1


def note(text: str) -> None:
    """Say what goes on, on standard error."""
    print(text, file=sys.stderr, flush=True)
