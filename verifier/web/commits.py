"""Verdicts of one event loop, committed in groups: a group shares one transaction, hence one wait for the disk.

One group is written at a time; what is judged meanwhile is the next. A record waits some turns of the loop, so that requests that lie
in sockets are seen, and then for those that wait to be judged, some milliseconds at most: a commit costs as much as half of
a request's cryptography, and those who send at once are to share it. A single request waits for no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from verifier.core.ports import CommittedRecord, GiveUp, VerdictRecord, VerdictStore
from verifier.core.settings import COMMIT_WAIT_S
from verifier.formats.errors import BridgeError, CannotDecide

GATHER_S: Final = 0.006
GROUP_WANTED: Final = 16
_TURNS: Final = 3  # bytes in a socket become a request, and the request a task

_Done = asyncio.Future[CommittedRecord]


class _Group:
    """Records that are written together: who waits for each, and what gives up on it."""

    __slots__ = ("is_due", "timer", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.is_due = False  # it has waited long enough for others
        self.waiting: dict[_Done, GiveUp] = {}
        self.timer = loop.call_later(COMMIT_WAIT_S, self._give_up)

    def _give_up(self) -> None:
        """Answer those who waited too long. A record may still be written, without a token: a nonce lost, never one spent twice."""
        for done, give_up in self.waiting.items():
            told = give_up()
            if not done.done():
                done.set_exception(told)


class GroupCommits:
    """The commits of one loop. Not for threads."""

    def __init__(self, store: VerdictStore) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._expected = 0
        self._next: _Group | None = None
        self._writing: _Group | None = None
        self._looks = False

    @contextmanager
    def expected(self) -> Iterator[None]:
        """Say that a record may come out of this block soon."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            self._look_later()

    async def commit(self, record: VerdictRecord) -> CommittedRecord:
        """Spend the nonce and write the record; returns and raises what ``VerdictStore.commit_verdict`` does."""
        done: _Done = self._loop.create_future()

        def settled(outcome: CommittedRecord | BridgeError) -> None:
            with suppress(RuntimeError):  # the loop has ended, and with it who waited
                self._loop.call_soon_threadsafe(self._settle, done, outcome)

        give_up = self._store.commit_soon(record, settled)
        if self._next is None:
            self._next = _Group(self._loop)
            # One that is expected may be slow, or never come.
            self._loop.call_later(GATHER_S, self._make_due, self._next)
        self._next.waiting[done] = give_up
        self._look_later()
        return await done

    def _make_due(self, group: _Group) -> None:
        group.is_due = True
        self._flush_if_due()

    def _look_later(self, turns: int = _TURNS) -> None:
        if self._next is None or self._writing is not None or self._looks:
            return
        self._looks = True
        self._turn(turns)

    def _turn(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._turn, left - 1)
            return
        self._looks = False
        self._flush_if_due()

    def _flush_if_due(self) -> None:
        group = self._next
        if group is None or self._writing is not None:
            return  # what is there when the writer is done is the next group
        wants_more = self._expected and len(group.waiting) < GROUP_WANTED
        if wants_more and not group.is_due:
            return  # who is expected looks again when it is through
        self._writing, self._next = group, None
        try:
            self._store.flush()
        except CannotDecide as error:
            for done in list(group.waiting):
                self._settle(done, CannotDecide(error.check_id, error.detail))

    def _settle(self, done: _Done, outcome: CommittedRecord | BridgeError) -> None:
        if not done.done():
            if isinstance(outcome, BridgeError):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
        group = self._writing
        if group is not None:
            group.waiting.pop(done, None)
            if not group.waiting:
                group.timer.cancel()
                self._writing = None
                self._look_later()
