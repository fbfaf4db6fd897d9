"""``python -m benchmarks.attest --against REV``: whole logins (challenge, attestation) of this build beside another revision's.

Four verifiers on one core: two of this build, two of the other. Two processes of one build differ by one per cent or two all
the time they run, by where their memory lies; so each build is there twice. Short slices alternate, in an order that rotates, so
that whatever else the machine does falls on all four alike. What is compared is CPU time per login.

The rule: the ratio is the median, over all rounds, of the CPU time of this build's two slices to that of the other's two, which
follow each other, so that a machine that grows slower moves both. It must not exceed 1 by more than the A/A spread, which is found
from the twins of this build: the rounds are cut into ``BLOCKS`` runs, each run gives the median ratio of the twins, and the spread
is the greatest distance of these from 1. Above ``TOO_WIDE`` the machine is too restless to tell, which is a no.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.attest.target import Target, served, signed_request
from benchmarks.builds import build_of, cpu_s, this_build
from benchmarks.measure import Ratio, note, report
from tools.demo.forged import ForgedProvider
from tools.demo.processes import Processes
from verifier.formats.encoding import unb64url

SLICES = 36
BLOCKS = 6
LOGINS = 96
TOO_WIDE = 0.1
_WORKLOADS = 2


def compare(revision: str, work: int, load: int) -> int:
    """Measure and report: 0 when the ratio is within the A/A spread, 1 otherwise."""
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        ours, other = this_build(), stack.enter_context(build_of(revision))
        processes = stack.enter_context(Processes(folder))
        targets = [
            stack.enter_context(served(folder / label, processes, label, work, _WORKLOADS, build))
            for label, build in (("this", ours), ("other", other), ("twin", ours), ("other-twin", other))
        ]
        note(f"attest: this build twice and {revision} twice on core {work}; {SLICES} slices of {LOGINS} logins each")
        used = _measure(targets, load)
    return report(_judged(revision, *used))


def _measure(targets: Sequence[Target], load: int) -> list[list[float]]:
    """Return, for each target, CPU milliseconds per login of every slice; a first slice of each is thrown away."""
    for target in targets:
        _slice(target, load)
    used: list[list[float]] = [[] for _ in targets]
    for number in range(SLICES):
        for turn in range(len(targets)):
            which = (number + turn) % len(targets)
            used[which].append(_slice(targets[which], load))
        if (number + 1) % (SLICES // BLOCKS) == 0:
            note("attest: " + ", ".join(f"{statistics.median(each):.3f} ms" for each in used))
    return used


def _slice(target: Target, load: int) -> float:
    """Log in ``LOGINS`` times, spread over the workloads; the requests are forged in between, by this process."""
    before, provider, bodies = cpu_s(target.pid), ForgedProvider(), []
    for name in target.names:  # a nonce is for one workload
        asked = [json.dumps({"tenant": "default", "workload": name})] * (LOGINS // len(target.names))
        _seconds, answers = target.send(load, "/v1/challenges", "application/json", asked)
        trust = target.trust(name)
        bodies += [signed_request(provider, trust, unb64url(json.loads(answer)["nonce"])) for answer in answers]
    target.send(load, "/v1/attestations", "application/jose", bodies)
    return (cpu_s(target.pid) - before) / len(bodies) * 1e3


def _judged(
    revision: str, ours: list[float], other: list[float], twin: list[float], other_twin: list[float]
) -> list[Ratio]:
    size = SLICES // BLOCKS
    twins = [one / same for one, same in zip(ours, twin, strict=True)]
    spread = max(abs(statistics.median(twins[start : start + size]) - 1) for start in range(0, SLICES, size))
    mine = [(one + same) / 2 for one, same in zip(ours, twin, strict=True)]
    theirs = [(one + same) / 2 for one, same in zip(other, other_twin, strict=True)]
    ratio, limit = statistics.median(one / its for one, its in zip(mine, theirs, strict=True)), 1 + spread
    target = f"<= {limit:.3f} (1 + A/A spread)" if spread <= TOO_WIDE else f"an A/A spread of at most {TOO_WIDE}"
    met = spread <= TOO_WIDE and ratio <= limit
    told = (
        (f"A/A: this build / its twin, {BLOCKS} runs within {spread:.1%} of 1 (CPU per login)", ours, twin),
        (f"login: this build / {revision} (CPU per login)", mine, theirs),
    )
    judged = ((statistics.median(twins), "none", True), (ratio, target, met))
    return [
        Ratio(name, statistics.median(one), statistics.median(beside), "ms", *verdict)
        for (name, one, beside), verdict in zip(told, judged, strict=True)
    ]
