"""A group waits a moment for verdicts that are being worked on, and for nothing else."""

from __future__ import annotations

import threading

import pytest

from tests.support.verdicts import make_verdict
from verifier.adapters.sql import writer as module
from verifier.adapters.sql.store import SqlStore


@pytest.fixture
def sizes(sqlite_store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every group that is written. Who waits in vain here hears that the store does not answer."""
    sqlite_store.commit_verdict(make_verdict())
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    writer, seen = sqlite_store._owned.here().writer, []
    commit = writer._commit
    monkeypatch.setattr(writer, "_commit", lambda group: (seen.append(len(group)), commit(group))[1])
    return seen


def test_two_that_are_worked_on_share_one_transaction(sqlite_store: SqlStore, sizes: list[int]) -> None:
    both = threading.Barrier(2)

    def work() -> None:
        with sqlite_store.expecting():
            both.wait()
            sqlite_store.commit_verdict(make_verdict())

    other = threading.Thread(target=work)
    other.start()
    work()
    other.join()

    assert sizes == [2]


def test_alone_nobody_waits(sqlite_store: SqlStore, sizes: list[int]) -> None:
    with sqlite_store.expecting():
        sqlite_store.commit_verdict(make_verdict())
    sqlite_store.commit_verdict(make_verdict())

    assert sizes == [1, 1]


def test_a_verdict_that_never_comes_holds_nobody_up_for_longer(
    sqlite_store: SqlStore, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.05)
    with sqlite_store.expecting(), sqlite_store.expecting():
        sqlite_store.commit_verdict(make_verdict())

    assert sizes == [1]


def test_what_was_refused_is_expected_no_more(sqlite_store: SqlStore) -> None:
    with pytest.raises(ValueError, match="refused"), sqlite_store.expecting():
        raise ValueError("refused")

    assert sqlite_store._owned.here().writer._expected == 0
