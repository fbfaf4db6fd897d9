"""Builds of this repository to measure beside each other: this checkout, and another revision in a work tree of its own."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import note
from benchmarks.timing import MissingPartError

ROOT = Path(__file__).resolve().parents[1]
# What the issue "The house, lightened" is measured against: the last commit before it.
BEFORE = "596a58d"


@dataclass(frozen=True, slots=True)
class Build:
    """A checkout with a virtualenv; ``name`` is what figures are printed under."""

    name: str
    programs: Path

    @property
    def has_admin(self) -> bool:
        """Tell whether its health is on the operator's listener: a build of before has none."""
        return (self.programs.parents[1] / "verifier" / "server.py").exists()

    def command(self, program: str) -> list[str]:
        """Return how the command line of ``verifier`` or ``attester`` begins.

        It is started in its own checkout: some builds start children with ``python -m``, which takes modules from the working
        folder first.
        """
        return ["env", f"--chdir={self.programs.parents[1]}", str(self.programs / program)]


def revision_asked_for(arguments: list[str]) -> str:
    """Read ``--against [REV]``; "" where it is not given, ``BEFORE`` where it names nothing."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--against", nargs="?", const=BEFORE, default="")
    return str(parser.parse_known_args(arguments)[0].against)


def this_build() -> Build:
    """Return this checkout, with the virtualenv that runs this program; compiled, as ``build_of`` does."""
    return _compiled(Build("this", Path(sys.executable).parent))


def _compiled(build: Build) -> Build:
    """Write the bytecode of a checkout and its virtualenv: a start that finds none takes twice as long.

    Which build has some already, and whether Python may write more (``PYTHONDONTWRITEBYTECODE``), must not decide a comparison.
    """
    tree = build.programs.parents[1]
    folders = [
        str(folder) for name in ("verifier", "attester", "forge", ".venv/lib") if (folder := tree / name).is_dir()
    ]
    note(f"{build.name}: writing bytecode")
    # Packages hold templates and examples for other Pythons, which do not compile: exit code 1, and nothing that is imported.
    subprocess.run(
        [str(build.programs / "python"), "-m", "compileall", "-qq", *folders], capture_output=True, check=False
    )
    return build


@contextmanager
def build_of(revision: str) -> Iterator[Build]:
    """Check a revision out into a temporary folder with a virtualenv of its own lock file; both are gone after the block.

    The virtualenv has what ``make venv`` installs. Raises ``MissingPartError`` for a revision that git does not have, and where uv
    cannot make the virtualenv.
    """
    with tempfile.TemporaryDirectory(prefix="vab-build-") as folder:
        tree = Path(folder) / "tree"
        _run(["git", "worktree", "add", "--quiet", "--detach", str(tree), revision], ROOT, f"revision {revision}")
        try:
            note(f"{revision}: making its virtualenv")
            uv = _run([sys.executable, str(ROOT / "tools" / "parts.py"), "uv"], ROOT, "uv").strip().splitlines()[-1]
            sync = [uv, "sync", "--quiet", "--frozen", "--all-extras", "--all-groups", "--python", _interpreter()]
            _run(sync, tree, f"the virtualenv of {revision}")
            yield _compiled(Build(revision, tree / ".venv" / "bin"))
        finally:
            _run(["git", "worktree", "remove", "--force", str(tree)], ROOT, "the work tree")


def _interpreter() -> str:
    """Return the interpreter below this virtualenv: both builds run on the same one."""
    return str(Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}")


def _run(command: list[str], folder: Path, what: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment["UV_PYTHON_DOWNLOADS"] = "never"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"{what}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def cpu_s(root: int) -> float:
    """Return the CPU seconds that a process and all below it have used; those that ended are left out.

    Exact (Linux counts nanoseconds; ``/proc`` shows hundredths of a second): clock_getcpuclockid(3) makes a clock of a process id.
    """
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in _family(root))


def memory_mib(root: int) -> float:
    """Return the memory of a process and all below it in MiB: what they share is counted once (Pss of proc_pid_smaps(5))."""
    total = 0
    for pid in _family(root):
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        total += int(next(line.split()[1] for line in rollup.splitlines() if line.startswith("Pss:")))
    return total / 1024


def _family(root: int) -> list[int]:
    """Return a process and all below it."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.name))
    found = [root]
    for pid in found:
        found += children.get(pid, ())
    return found
