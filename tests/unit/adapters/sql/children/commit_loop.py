"""Commit verdicts from four threads for ever; say which, each after its commit has returned. Ends by being killed."""

from __future__ import annotations

import sys
import threading

from tests.support.verdicts import make_verdict
from verifier.adapters.sql import open_store

store = open_store(sys.argv[1])
out = threading.Lock()


def _loop() -> None:
    while True:
        verdict = make_verdict()
        committed = store.commit_verdict(verdict)
        with out:
            print(committed.seq, committed.digest.hex(), verdict.nonce.hex(), flush=True)  # noqa: T201


for _ in range(4):
    threading.Thread(target=_loop).start()
