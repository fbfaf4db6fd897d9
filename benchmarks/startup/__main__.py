"""``python -m benchmarks.startup [--against REV]``: how commands start, beside another revision, in alternating rounds.

- ``verifier appraise`` of one forged SEV-SNP report, CPU time. Its root is not AMD's, so it is refused, and the remedy is told.
- ``verifier serve`` until it can issue tokens: wall time, and the CPU time of all its processes until then. The store is migrated
  and the trust documents are compiled; a worker runs.
- its memory then, of all its processes.
- ``attester --help``, CPU time.

The limits are ratios to the other revision. They were set beside 596a58d, of which one ``verifier appraise`` took 1.75 s of CPU on
the machine where the goal of 0.6 s was set.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.attest.target import is_ready
from benchmarks.builds import BEFORE, Build, build_of, cpu_s, memory_mib, revision_asked_for, this_build
from benchmarks.measure import at_most, note, report, told
from tools.demo.forged import forged_chip, forged_documents, lay_forged
from tools.demo.processes import Processes
from tools.demo.stack import VerifierFolder, lay_verifier
from tools.demo.trust import VaultPlace, write_documents

ROUNDS = 7
APPRAISE_LIMIT = 0.34  # 0.6 s beside 1.75 s
SERVE_LIMIT = 0.5
HELP_LIMIT = 1.1  # as before, within what a restless machine does to 70 ms
_POLL_S = 0.005


def main() -> int:
    """Measure and compare."""
    revision = revision_asked_for(sys.argv[1:]) or BEFORE
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        builds = (this_build(), stack.enter_context(build_of(revision)))
        parts = _lay_parts(folder)
        laid = [_lay_served(folder / build.name, build) for build in builds]
        with Processes(folder) as processes:
            appraised = _alternate("verifier appraise", builds, lambda build, _at: (_command_s(build, parts),))
            asked = _alternate("attester --help", builds, lambda build, _at: (_command_s(build, _HELP),))
            served = _alternate("verifier serve", builds, lambda build, at: _ready_s(processes, build, laid[at]))
    return report([
        at_most("verifier appraise (CPU)", *_at(appraised, 0), APPRAISE_LIMIT, "s"),
        at_most("verifier serve until ready (wall)", *_at(served, 0), SERVE_LIMIT, "s"),
        at_most("verifier serve until ready (CPU of all processes)", *_at(served, 1), SERVE_LIMIT, "s"),
        told("verifier serve when ready (memory of all processes)", *_at(served, 2), "MiB"),
        at_most("attester --help (CPU)", *_at(asked, 0), HELP_LIMIT, "s"),
    ])  # fmt: skip


_HELP = ("attester", "--help")
_Figures = list[list[tuple[float, ...]]]


def _alternate(what: str, builds: Sequence[Build], once: Callable[[Build, int], tuple[float, ...]]) -> _Figures:
    """Run each build once a round; a first round is thrown away, since it compiles what is imported."""
    figures: _Figures = [[] for _ in builds]
    for number in range(ROUNDS + 1):
        for at, build in enumerate(builds):
            figure = once(build, at)
            if number:
                figures[at].append(figure)
    note(f"startup: {what}: " + " beside ".join(f"{min(each)[0]:.3f} s" for each in figures) + " at best")
    return figures


def _at(figures: _Figures, which: int) -> tuple[list[float], list[float]]:
    return [one[which] for one in figures[0]], [one[which] for one in figures[1]]


def _lay_parts(folder: Path) -> tuple[str, ...]:
    """Write a forged report with what vouches for it; returns the command that judges it."""
    chip, endorsements = forged_chip(), folder / "endorsements"
    endorsements.mkdir()
    (folder / "report.bin").write_bytes(chip.report(report_data=bytes(64)))
    for name, data in {**chip.endorsements(), "crl": chip.crl()}.items():
        (endorsements / f"{name}.der").write_bytes(data)
    return (
        "verifier", "appraise", "--scheme", "sev-snp", "--evidence", str(folder / "report.bin"),
        "--endorsements", str(endorsements),
    )  # fmt: skip


def _command_s(build: Build, command: Sequence[str]) -> float:
    """Return the CPU seconds of one command that ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*build.command(command[0]), *command[1:]], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command[:2])} of {build.name} left with {done.returncode}: {done.stderr}")
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _lay_served(folder: Path, build: Build) -> VerifierFolder:
    settings = {"workers": os.cpu_count(), "behind_tls_proxy": True, "tls_certificate": "", "tls_key": ""}
    laid = lay_verifier(
        folder, simulated=True, settings=settings, verifier=build.command("verifier"), has_admin=build.has_admin
    )
    lay_forged(laid)
    place = VaultPlace("https://127.0.0.1:1", laid.ca_file.read_text(encoding="ascii"), "attestation-default", "bench")
    write_documents(laid.path / "trust" / "bench.yaml", forged_documents(place))
    return laid


def _ready_s(processes: Processes, build: Build, laid: VerifierFolder) -> tuple[float, ...]:
    """Start a verifier, wait until it can issue tokens, stop it; returns wall and CPU seconds, and memory in MiB."""
    start = time.perf_counter()
    process = processes.start(build.name, [*build.command("verifier"), "serve", "--config", str(laid.settings_file)])
    while not is_ready(laid.admin_port):
        if process.poll() is not None:
            raise SystemExit(f"verifier serve of {build.name} did not come up: {processes.log(build.name)[-1500:]}")
        time.sleep(_POLL_S)
    figures = time.perf_counter() - start, cpu_s(process.pid), memory_mib(process.pid)
    processes.stop(build.name)
    return figures


if __name__ == "__main__":
    sys.exit(main())
