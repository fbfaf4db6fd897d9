"""``make fuzz``: every target in turn, ten minutes in all by default (``FUZZ_SECONDS``); leaves with 1 if one found something.

Corpora are kept per user under ``~/.cache/vault-attestation-bridge/fuzz/``, so that every run starts where the last one ended.
They begin with what the forged vendors make.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz.seeds import seeds

SECONDS = int(os.environ.get("FUZZ_SECONDS", "600"))
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vault-attestation-bridge" / "fuzz"


def main() -> int:
    """Run every target for its share of the time."""
    share = max(1, SECONDS // len(seeds()))
    found = []
    for name, data in seeds().items():
        corpus = CACHE / name
        corpus.mkdir(parents=True, exist_ok=True)
        (corpus / "seed").write_bytes(data)
        print(f"fuzz: {name}, {share} s, {sum(1 for _ in corpus.iterdir())} inputs known", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.targets", name, str(corpus), f"-max_total_time={share}", "-max_len=8192",
             "-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={CACHE}/{name}.", "-print_final_stats=1"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        runs = next((line.split()[-1] for line in done.stderr.splitlines() if "number_of_executed_units" in line), "0")
        if done.returncode != 0 or runs == "0":
            found.append(name)
            print(
                f"fuzz: {name}: FOUND SOMETHING (or did not run):\n{done.stdout[-3000:]}{done.stderr[-3000:]}",
                flush=True,
            )
        else:
            print(f"fuzz: {name}: nothing in {runs} runs", flush=True)
    print(f"fuzz: {len(seeds()) - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
