"""``make bench``: every benchmark in turn; leaves with 1 when one missed its target, 3 when a part was missing."""

from __future__ import annotations

import subprocess
import sys

PROGRAMS = ("benchmarks.verify", "benchmarks.dcap", "benchmarks.attest", "benchmarks.hostile")


def main() -> int:
    """Run them one after the other: two at once would measure each other."""
    worst = 0
    for program in PROGRAMS:
        print(f"== {program}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", program, *sys.argv[1:]], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main())
