"""Forks: gunicorn preloads the application, then forks its workers. Nothing open comes along, nothing answered is lost."""

from __future__ import annotations

import threading
import time

import pytest

from tests.support.processes import StartChild
from tests.support.verdicts import make_verdict
from verifier.adapters.sql import forking
from verifier.adapters.sql.store import SqlStore
from verifier.formats.errors import CannotDecide


def test_a_store_that_was_used_before_a_fork_serves_both_sides(store: SqlStore, start_child: StartChild) -> None:
    store.commit_verdict(make_verdict())
    store.ping()

    def work() -> None:
        assert store._owned._process is None
        store.ping()
        for _ in range(5):
            store.commit_verdict(make_verdict())
        store.close()

    child = start_child(work)
    for _ in range(5):
        store.commit_verdict(make_verdict())
    assert child.finish() == (0, "")
    assert store.verify_chain().seq == 11


def test_a_fork_waits_for_who_uses_a_connection(store: SqlStore, start_child: StartChild) -> None:
    """Or else records get lost: see ``engine.Gate``."""
    store.commit_verdict(make_verdict())
    inside, over = threading.Event(), threading.Event()

    def use() -> None:
        with store._database.read():
            inside.set()
            time.sleep(0.2)
            over.set()

    user = threading.Thread(target=use)
    user.start()
    inside.wait()

    def work() -> None:
        assert over.is_set()
        for _ in range(5):
            store.commit_verdict(make_verdict())
        store.close()

    child = start_child(work)
    assert over.is_set()
    for _ in range(5):
        store.commit_verdict(make_verdict())
    user.join()
    assert child.finish() == (0, "")
    assert store.verify_chain().seq == 11


def test_forks_among_busy_threads_lose_nothing(store: SqlStore, start_child: StartChild) -> None:
    stop = threading.Event()
    committed: list[int] = []

    def commit() -> None:
        while not stop.is_set():
            committed.append(store.commit_verdict(make_verdict()).seq)

    def read() -> None:
        while not stop.is_set():
            store.epoch()

    def work() -> None:
        for _ in range(5):
            store.commit_verdict(make_verdict())
        store.close()

    threads = [threading.Thread(target=target) for target in (commit, commit, read, read)]
    for thread in threads:
        thread.start()
    outputs = [start_child(work) for _ in range(6)]
    assert [child.finish() for child in outputs] == [(0, "")] * 6
    stop.set()
    for thread in threads:
        thread.join()
    assert len(set(committed)) == len(committed)
    assert store.verify_chain().seq == len(committed) + 30


def test_a_child_of_a_fork_that_could_not_wait_refuses(
    sqlite_store: SqlStore, start_child: StartChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "_FORK_WAIT_S", 0.05)
    sqlite_store.commit_verdict(make_verdict())

    def work() -> None:
        for call in (sqlite_store.ping, sqlite_store.epoch, lambda: sqlite_store.commit_verdict(make_verdict())):
            with pytest.raises(CannotDecide, match=r"^service\.store: this process was forked"):
                call()

    with sqlite_store._database.read():
        child = start_child(work)
        assert child.finish() == (0, "")
    assert sqlite_store.commit_verdict(make_verdict()).seq == 2
    assert sqlite_store.verify_chain().seq == 2
