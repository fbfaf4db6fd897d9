"""Verdicts of one loop share commits; none waits for long, and each is answered, whatever the store does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import CommittedRecord
from verifier.formats.errors import CannotDecide, EvidenceRejected
from verifier.web import commits as module
from verifier.web.commits import GroupCommits

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.db'}", SEALER)
    opened.commit_verdict(make_verdict())
    yield opened
    opened.close()


@pytest.fixture
def sizes(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every group that is written."""
    writer, seen = store._owned.here().writer, []
    commit = writer._commit
    monkeypatch.setattr(writer, "_commit", lambda group: (seen.append(len(group)), commit(group))[1])
    return seen


def run(store: SqlStore, work: Callable[[GroupCommits], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work(GroupCommits(store))

    return asyncio.run(main())


async def judged(commits: GroupCommits, turns: int = 5) -> CommittedRecord:
    """Be expected for some turns of the loop, and commit."""
    with commits.expected():
        for _ in range(turns):
            await asyncio.sleep(0)
    return await commits.commit(make_verdict())


def test_those_that_are_judged_at_once_share_one_transaction(
    store: SqlStore, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)
    done = run(store, lambda commits: asyncio.gather(*(judged(commits, turns) for turns in (1, 20, 100))))
    assert sizes == [3]
    assert sorted(record.seq for record in done) == [2, 3, 4]


def test_alone_none_waits(store: SqlStore, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 3600.0)

    async def twice(commits: GroupCommits) -> None:
        await judged(commits)
        await judged(commits)

    run(store, twice)
    assert sizes == [1, 1]


def test_one_that_never_comes_holds_none_up_for_longer(
    store: SqlStore, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.01)

    async def beside(commits: GroupCommits) -> None:
        with commits.expected():  # for as long as the other takes
            await commits.commit(make_verdict())

    run(store, beside)
    assert sizes == [1]


def test_each_hears_of_its_own_failure_alone(store: SqlStore) -> None:
    verdict = make_verdict()

    async def three(commits: GroupCommits) -> list[Any]:
        return await asyncio.gather(
            commits.commit(verdict), commits.commit(verdict), commits.commit(make_verdict()), return_exceptions=True
        )

    first, second, third = run(store, three)
    assert isinstance(first, CommittedRecord)
    assert isinstance(second, EvidenceRejected)
    assert second.check_id == "service.nonce.spent"
    assert isinstance(third, CommittedRecord)


def test_a_store_that_does_not_answer_is_given_up_on_and_what_it_did_not_take_is_not_written(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first group is in the writer's hands; the second waits behind it, and is answered in time all the same."""
    monkeypatch.setattr(module, "COMMIT_WAIT_S", 0.2)
    writer = store._owned.here().writer
    head = store.head().seq

    async def stuck(commits: GroupCommits) -> list[Any]:
        with writer._writing:
            first = asyncio.ensure_future(judged(commits))
            while commits._writing is None:  # noqa: ASYNC110 - it says so to no one
                await asyncio.sleep(0)
            return await asyncio.gather(first, judged(commits), return_exceptions=True)

    outcomes = run(store, stuck)
    assert [type(outcome) for outcome in outcomes] == [CannotDecide, CannotDecide]
    assert {outcome.check_id for outcome in outcomes} == {"service.store"}
    store.commit_verdict(make_verdict())  # behind both
    assert store.head().seq <= head + 2


def test_a_closed_store_says_so(store: SqlStore) -> None:
    store.close()
    writer = store._owned.here().writer
    writer.close()

    with pytest.raises(CannotDecide, match="closed"):
        run(store, lambda commits: commits.commit(make_verdict()))
