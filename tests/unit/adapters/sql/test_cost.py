"""What a commit costs: printed for the reader (``pytest -rP``), with a limit that only a blunder passes."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.verdicts import make_verdict
from verifier.adapters.sql.store import SqlStore

COMMITS = 320


@pytest.mark.parametrize("callers", [1, 8])
def test_a_commit_costs_a_fraction_of_a_millisecond(store: SqlStore, callers: int) -> None:
    verdicts = [make_verdict() for _ in range(COMMITS)]
    store.commit_verdict(make_verdict())

    def commit(mine: int) -> None:
        for verdict in verdicts[mine::callers]:
            store.commit_verdict(verdict)

    threads = [threading.Thread(target=commit, args=(mine,)) for mine in range(callers)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu_us = (time.process_time() - cpu) / COMMITS * 1e6
    wall_us = (time.perf_counter() - wall) / COMMITS * 1e6
    print(f"{store._database.engine.name}, {callers} callers: {cpu_us:.0f} us CPU, {wall_us:.0f} us wall a commit")  # noqa: T201
    assert cpu_us < 3000
