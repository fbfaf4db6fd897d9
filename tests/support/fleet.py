"""Attesters that boot at once: each walks the attester's own way over new TLS connections, in a thread of its own.

``python -m tests.support.fleet JOB`` runs one process of them, so that their work is not the test's. They share one forged chip and
nothing else: keys, connections and patience are each one's own, as in as many machines.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from attester.flow import attest_once, verifier_client
from attester.patience import Patience
from attester.settings import Trust
from tools.demo.forged import ForgedProvider
from verifier.formats.errors import BridgeError

ROOT = Path(__file__).resolve().parents[2]
_STACK = 512 * 1024


@dataclass
class Told:
    """What became of a fleet. ``gave_up``: by check id. ``tries``: of all together. ``slowest_s``: from boot to token."""

    tokens: int = 0
    gave_up: dict[str, int] = field(default_factory=dict)
    tries: int = 0
    slowest_s: float = 0.0
    median_s: float = 0.0


def run(trust: Trust, count: int, wait_s: float) -> Told:
    """Boot ``count`` attesters at once, and wait for the last."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * count + 256)), hard))
    threading.stack_size(_STACK)
    provider = ForgedProvider()
    booted = threading.Event()
    lock = threading.Lock()
    took: list[float] = []
    gave_up: Counter[str] = Counter()
    tries = 0

    def attester() -> None:
        nonlocal tries
        tried = 0
        booted.wait()
        patience, began = Patience(wait_s), time.monotonic()
        client = verifier_client(trust, patience.left)

        def once() -> object:
            nonlocal tried
            tried += 1
            return attest_once(client, trust, provider, lambda: int(time.time()))

        try:
            patience.repeat(once)
            no = ""
        except BridgeError as error:
            no = error.check_id
        except Exception as error:  # noqa: BLE001 - told in the figures, and the test fails by it
            no = f"bug: {type(error).__name__}: {error}"
        with lock:
            tries += tried
            if no:
                gave_up[no] += 1
            else:
                took.append(time.monotonic() - began)

    threads = [threading.Thread(target=attester, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    booted.set()
    for thread in threads:
        thread.join()
    took.sort()
    return Told(
        len(took), dict(gave_up), tries, took[-1] if took else 0.0, took[len(took) // 2] if took else 0.0
    )  # fmt: skip


def boot(trust: Trust, count: int, folder: Path, *, wait_s: float = 90.0, processes: int = 2) -> Told:
    """Boot a fleet in processes of its own, and add up what they tell."""
    job = folder / "fleet.json"
    share = [count // processes + (index < count % processes) for index in range(processes)]
    job.write_text(json.dumps({"trust": asdict(trust), "wait_s": wait_s}), encoding="utf-8")
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.fleet", str(job), str(part)], cwd=ROOT, stdout=subprocess.PIPE
        )
        for part in share
    ]
    told = []
    for process in running:
        out, _ = process.communicate()
        assert process.returncode == 0
        told.append(Told(**json.loads(out)))
    gave_up: Counter[str] = Counter()
    for part in told:
        gave_up.update(part.gave_up)
    return Told(
        sum(part.tokens for part in told), dict(gave_up), sum(part.tries for part in told),
        max(part.slowest_s for part in told), max(part.median_s for part in told),
    )  # fmt: skip


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps(asdict(run(Trust(**given["trust"]), int(sys.argv[2]), given["wait_s"]))))
