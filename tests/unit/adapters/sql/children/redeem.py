"""Try to spend each nonce of a list from four threads, each in an order of its own; say which ones this process won."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path

from tests.support.verdicts import make_verdict
from verifier.adapters.sql import open_store
from verifier.core.errors import EvidenceRejected

store = open_store(sys.argv[1])
nonces = Path(sys.argv[2]).read_text().split()
won: list[str] = []
others: list[str] = []


def _redeem() -> None:
    # The order decides who meets whom, nothing else.
    for nonce in random.sample(nonces, len(nonces)):
        try:
            store.commit_verdict(make_verdict(nonce=bytes.fromhex(nonce)))
            won.append(nonce)
        except EvidenceRejected as refusal:
            others.append(refusal.check_id)


print("ready", flush=True)  # noqa: T201
sys.stdin.readline()
threads = [threading.Thread(target=_redeem) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
store.close()
print(" ".join(won))  # noqa: T201
print(" ".join(sorted(set(others))))  # noqa: T201
