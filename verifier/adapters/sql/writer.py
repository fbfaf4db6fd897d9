"""Group commit: one thread a process takes every waiting verdict into one durable transaction.

A group shares one COMMIT, hence one wait for the disk. A spent nonce or a wrong time inside a group fails its own caller
only; each caller is answered after COMMIT has returned; when the database fails, every caller in the group gets CannotDecide
and nothing is written. Statements are fixed texts on a driver's cursor of the writer's own (each driver prepares them
once): SQLAlchemy's execution layer costs 0.2 ms a transaction here, a third of a verification.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from cachetools import LRUCache
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import SQLAlchemyError

from verifier.adapters.sql.engine import Database
from verifier.adapters.sql.failures import cannot_decide
from verifier.adapters.sql.models import CLOCK_SQL
from verifier.adapters.sql.packing import PACKED
from verifier.adapters.sql.records import WRITTEN, Prepared, link
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.timekeeping import KEPT_SQL
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord, GiveUp, Settled, SteadyClock
from verifier.core.settings import COMMIT_WAIT_S
from verifier.core.timekeeping import LOGIN_TRIAL_MAX_MS, Belief, StoreTimes, Times, head_time, judge
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected

HEAD = "chain_head"
GROUP_MAX = 64
_SHARED_MAX = 4096
_JOIN_S = 10.0
# A part that many records share is marked as seen once in this time, not by each record; purging leaves it that much longer.
PART_SLACK_MS = 24 * 3600 * 1000


@dataclass(slots=True, eq=False)
class _Waiter:
    """One caller: what it brought, and how it is told. Told once, from the writer's thread."""

    prepared: Prepared
    tell: Settled
    is_settled: bool = False
    given_up: bool = False

    def give_up(self) -> CannotDecide:
        """Wait no longer. It may still be written, without a token: a nonce lost, never one spent twice."""
        self.given_up = True
        return too_slow()

    def settle(self, outcome: CommittedRecord | BridgeError) -> None:
        self.is_settled = True
        self.tell(outcome)


@dataclass(slots=True)
class _Statements:
    """The hot path's texts for one dialect; the lists of nonce hashes come in powers of two."""

    head: str
    clock: str
    spend: str
    insert: str
    keep: str
    share: str
    findings: str
    advance: str
    spent: dict[int, str] = field(default_factory=dict)

    @classmethod
    def make(cls, *, is_sqlite: bool) -> _Statements:
        mark = "?" if is_sqlite else "%s"
        clock = CLOCK_SQL["sqlite" if is_sqlite else "postgresql"]
        # On PostgreSQL the row lock makes appenders queue, and the clock is read by a second statement, after the wait.
        # SQLite holds the whole database by BEGIN IMMEDIATE: one statement reads both.
        head = "SELECT seq, last_digest, latest_ms, floor_ms, seal FROM chain_head WHERE id = 1 FOR UPDATE"
        if is_sqlite:
            head = (
                f"SELECT seq, last_digest, latest_ms, floor_ms, seal, {clock}, {KEPT_SQL} FROM chain_head WHERE id = 1"  # noqa: S608 - constants
            )
        statements = cls(
            head=head,
            clock=f"SELECT {clock}, {KEPT_SQL}",
            spend=f"INSERT INTO spent_nonces (nonce_hash, dead_ms) VALUES ({mark}, {mark})",  # noqa: S608 - constants
            insert=f"INSERT INTO records ({', '.join(WRITTEN)}) VALUES ({', '.join([mark] * len(WRITTEN))})",  # noqa: S608 - constants
            keep=f"INSERT INTO evidence (digest, body, kept_ms, packed) VALUES ({mark}, {mark}, {mark}, {PACKED})"  # noqa: S608 - constants
            " ON CONFLICT (digest) DO UPDATE SET kept_ms = excluded.kept_ms WHERE evidence.kept_ms < excluded.kept_ms",
            share=f"INSERT INTO evidence_parts (digest, body, kept_ms) VALUES ({mark}, {mark}, {mark})"  # noqa: S608 - constants
            " ON CONFLICT (digest) DO UPDATE SET kept_ms = excluded.kept_ms"
            f" WHERE evidence_parts.kept_ms < excluded.kept_ms - {PART_SLACK_MS // 2}",
            findings=f"INSERT INTO findings (digest, body) VALUES ({mark}, {mark}) ON CONFLICT (digest) DO NOTHING",  # noqa: S608 - constants
            advance=f"UPDATE chain_head SET seq = {mark}, last_digest = {mark}, latest_ms = {mark}, seal = {mark} WHERE id = 1",  # noqa: S608 - constants
        )
        size = 1
        while size <= GROUP_MAX:
            marks = ", ".join([mark] * size)
            statements.spent[size] = f"SELECT nonce_hash FROM spent_nonces WHERE nonce_hash IN ({marks})"  # noqa: S608 - constants
            size *= 2
        return statements


def too_slow() -> CannotDecide:
    """Word a store that has not answered in time."""
    return CannotDecide(ServiceId.STORE, f"the store did not answer within {COMMIT_WAIT_S:.0f} s")


class Shared:
    """Which rows that many records share this process has committed, and when: they need not be written again with each record.

    A part is written again after a quarter of the time that purging spares it (``PART_SLACK_MS``), and the database takes that for
    new after a half of it: together less than the whole, so that a part outlives what names it.
    """

    def __init__(self) -> None:
        self._kept: LRUCache[bytes, int] = LRUCache(_SHARED_MAX)
        self._new: dict[bytes, int] = {}

    def is_kept(self, digest: bytes, now_ms: int, *, for_good: bool = False) -> bool:
        """Tell whether a row is there; if not, it is noted as one that this transaction writes."""
        kept_ms = self._kept.get(digest)
        if kept_ms is not None and (for_good or 0 <= now_ms - kept_ms < PART_SLACK_MS // 4):
            return True
        self._new[digest] = now_ms
        return False

    def committed(self) -> None:
        """Believe in what was written."""
        self._kept.update(self._new)
        self._new.clear()

    def rolled_back(self) -> None:
        """Forget what was not written."""
        self._new.clear()


class Writer:
    """The thread that commits. It starts with the first verdict (after a fork, that is) and again should it ever die."""

    def __init__(self, database: Database, sealer: Sealer, *, skew_ms: int, clock: SteadyClock) -> None:
        self._database = database
        self._sealer = sealer
        self._clock = clock
        # A process believes the clock that it starts with; from then on it notices when the clock jumps.
        self._belief = Belief(clock.now_ms(), clock.steady_ms())
        self._skew_ms = skew_ms
        self._statements = _Statements.make(is_sqlite=database.is_sqlite)
        self._queue: SimpleQueue[Sequence[_Waiter] | None] = SimpleQueue()
        self._staged: list[_Waiter] = []  # of `commit_soon`, until `flush`
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._writing = threading.Lock()
        self._connection: PoolProxiedConnection | None = None
        self._shared = Shared()

    def forget_shared(self) -> None:
        """Believe no more that shared rows are there: some were deleted."""
        with self._writing:
            self._shared = Shared()

    def commit(self, prepared: Prepared) -> CommittedRecord:
        """Hand a record to the writer and wait until it is durable, or until why it is not is known."""
        told: SimpleQueue[CommittedRecord | BridgeError] = SimpleQueue()
        waiter = _Waiter(prepared, told.put)
        self._hand_over([waiter])
        try:
            outcome = told.get(timeout=COMMIT_WAIT_S)
        except Empty:
            raise waiter.give_up() from None
        if isinstance(outcome, BridgeError):
            raise outcome
        return outcome

    def commit_soon(self, prepared: Prepared, tell: Settled) -> GiveUp:
        """Keep a record for the next ``flush`` of this thread; ``tell`` is called from the writer's thread, once.

        Returns what gives up on it: called before the writer takes it, the record is not written.
        """
        waiter = _Waiter(prepared, tell)
        self._staged.append(waiter)
        return waiter.give_up

    def flush(self) -> None:
        """Hand what was kept to the writer, as one group."""
        staged, self._staged = self._staged, []
        if staged:
            self._hand_over(staged)

    def _hand_over(self, waiters: Sequence[_Waiter]) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._start()
        self._queue.put(waiters)

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._queue.put(None)
            thread.join(_JOIN_S)
        self.release_idle()

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise CannotDecide(ServiceId.STORE, "the store is closed")
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            group, is_last = self._next_group()
            try:
                for start in range(0, len(group), GROUP_MAX):
                    self._write(group[start : start + GROUP_MAX])
            finally:
                # Defensive: whatever ended this thread, no caller is left waiting.
                for waiter in group:
                    if not waiter.is_settled:
                        waiter.settle(CannotDecide(ServiceId.STORE, "the store's writer failed"))
            if is_last:
                return

    def _next_group(self) -> tuple[list[_Waiter], bool]:
        """Wait for some, then take all that are there."""
        group: list[_Waiter] = []
        item = self._queue.get()
        while item is not None:
            for waiter in item:
                if waiter.given_up:
                    waiter.settle(too_slow())
                else:
                    group.append(waiter)
            if len(group) >= GROUP_MAX:
                return group, False
            try:
                item = self._queue.get_nowait()
            except Empty:
                return group, False
        return group, True

    def _write(self, group: Sequence[_Waiter]) -> None:
        driver = self._database.driver
        outcomes: Sequence[CommittedRecord | BridgeError]
        try:
            with self._database.gate, self._writing, self._database.turn:
                outcomes = self._commit([waiter.prepared for waiter in group])
        except (driver.Error, SQLAlchemyError, OSError) as error:
            if len(group) > 1 and isinstance(error, driver.IntegrityError | driver.DataError):
                # One record that the database will not have (a jti used twice) must not take the others with it.
                for waiter in group:
                    self._write([waiter])
                return
            # One exception each: they are raised in different threads.
            outcomes = [cannot_decide(error, self._database.where) for _ in group]
        for waiter, outcome in zip(group, outcomes, strict=True):
            waiter.settle(outcome)

    def _commit(self, group: Sequence[Prepared]) -> Sequence[CommittedRecord | BridgeError]:
        """Run one transaction. After any failure the connection is thrown away, and its transaction with it."""
        connection = self._connection = self._database.lend_driver(self._connection)
        try:
            cursor = connection.cursor()
            if self._database.is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            outcomes = self._append(cursor, group)
            connection.commit()
            self._shared.committed()
            cursor.close()
        except BaseException as error:
            self._shared.rolled_back()
            self._connection = None
            self._database.note_failure(error)
            # Closing is not enough: SQLite keeps the transaction, and its lock, while a cursor lives in a traceback.
            with suppress(self._database.driver.Error):
                connection.rollback()
            connection.invalidate()
            raise
        return outcomes

    def rehearse(self, prepared: Prepared) -> None:
        """Write a record and take it back. On a connection of its own: SQLite's caches would hide a page that broke since."""
        database = self._database
        if not self._writing.acquire(timeout=COMMIT_WAIT_S):
            raise too_slow()
        try:
            with database.gate, database.turn_of_its_own():
                connection = database.lend_driver()
                try:
                    outcome = self._rehearse(connection, prepared)
                finally:
                    self._shared.rolled_back()
                    with suppress(database.driver.Error):
                        connection.rollback()
                    connection.invalidate() if database.is_sqlite else connection.close()
        except (database.driver.Error, SQLAlchemyError, OSError) as error:
            raise cannot_decide(error, database.where) from error
        finally:
            self._writing.release()
        if isinstance(outcome, BridgeError):
            raise outcome

    def _rehearse(self, connection: PoolProxiedConnection, prepared: Prepared) -> CommittedRecord | BridgeError:
        cursor = connection.cursor()
        try:
            if self._database.is_sqlite:
                cursor.execute("BEGIN IMMEDIATE")
            return self._append(cursor, [prepared])[0]
        finally:
            cursor.close()

    def release_idle(self) -> None:
        """Close the writer's connection between two groups (before a fork); the next group opens another."""
        with self._writing:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._database.turn.close()

    def _append(self, cursor: DBAPICursor, group: Sequence[Prepared]) -> list[CommittedRecord | BridgeError]:
        """Write a group inside the open transaction; what is returned becomes true with COMMIT. The caller holds ``_writing``."""
        statements = self._statements
        asked_ms = self._clock.now_ms()
        cursor.execute(statements.head)
        seq, digest, latest_ms, floor_ms, seal, *clock = cursor.fetchall()[0]
        try:
            seals = self._sealer.of(HEAD)
        except CannotDecide as error:  # the key file has gone: nobody can sign either
            return [CannotDecide(error.check_id, error.detail) for _ in group]
        if not seals.fits(seal, 1, seq, digest, latest_ms, floor_ms):
            return [seals.broken("1", is_sealed=seal is not None) for _ in group]
        last = CommittedRecord(seq, bytes(digest))
        if not clock:
            asked_ms = self._clock.now_ms()
            cursor.execute(statements.clock)
            clock = cursor.fetchall()[0]
        store_ms, kept_ms = self._judge_clock(asked_ms, latest_ms, *clock)
        spent = self._find_spent(cursor, group)
        outcomes: list[CommittedRecord | BridgeError] = []
        rows: list[tuple[Any, ...]] = []
        nonces: list[tuple[bytes, int]] = []
        bodies: dict[bytes, tuple[bytes, bytes, int]] = {}
        parts: dict[bytes, tuple[bytes, bytes, int]] = {}
        findings: dict[bytes, bytes] = {}
        for prepared in group:
            failure = self._refusal(prepared, store_ms, latest_ms, spent) or self._below(prepared, floor_ms)
            if failure is not None:
                outcomes.append(failure)
                continue
            committed = link(prepared, last)
            rows.append((committed.seq, last.digest, committed.digest, *prepared.row))
            nonces.append((prepared.nonce_hash, prepared.nonce_expires_ms + 2 * self._skew_ms))
            spent.add(prepared.nonce_hash)
            if not self._shared.is_kept(prepared.findings.digest, store_ms, for_good=True):
                findings[prepared.findings.digest] = prepared.findings.body
            if prepared.packed is not None:
                bodies[prepared.evidence_digest] = (prepared.evidence_digest, prepared.packed.body, store_ms)
                for part in prepared.packed.parts:
                    if not self._shared.is_kept(part.digest, store_ms):
                        parts[part.digest] = (part.digest, part.body, store_ms)
            latest_ms = head_time(latest_ms, prepared.now_ms, kept_ms)
            last = committed
            outcomes.append(committed)
        if rows:
            cursor.executemany(statements.spend, nonces)
            cursor.executemany(statements.insert, rows)
            if findings:
                cursor.executemany(statements.findings, sorted(findings.items()))
            if bodies:
                cursor.executemany(statements.keep, list(bodies.values()))
            if parts:
                cursor.executemany(statements.share, [parts[digest] for digest in sorted(parts)])
            seal = seals.seal(1, last.seq, last.digest, latest_ms, floor_ms)
            cursor.execute(statements.advance, (last.seq, last.digest, latest_ms, seal))
        return outcomes

    def _below(self, prepared: Prepared, floor_ms: int) -> BridgeError | None:
        """Refuse a nonce whose spent row was purged under another clock than today's."""
        if prepared.nonce_expires_ms + 2 * self._skew_ms < floor_ms:
            return EvidenceRejected(ServiceId.NONCE_EXPIRED, "nonce: spent nonces of its time are purged")
        return None

    def _judge_clock(self, asked_ms: int, latest_ms: int, store_ms: int, kept_ms: int | None) -> tuple[int, int]:
        """Judge the clock for the records of a group; returns the store's time, and the one that was believed last.

        How long the store took to tell its time is no difference of clocks.
        """
        machine_ms = min(max(store_ms, asked_ms), max(asked_ms, self._clock.now_ms()))
        times = Times(machine_ms, self._clock.steady_ms(), StoreTimes(store_ms, latest_ms, kept_ms or 0))
        self._belief = judge(times, self._belief, trial_max_ms=LOGIN_TRIAL_MAX_MS)
        return store_ms, kept_ms or 0

    def _find_spent(self, cursor: DBAPICursor, group: Sequence[Prepared]) -> set[bytes]:
        hashes = [prepared.nonce_hash for prepared in group]
        size = 1 << (len(hashes) - 1).bit_length()
        hashes.extend([hashes[0]] * (size - len(hashes)))
        cursor.execute(self._statements.spent[size], tuple(hashes))
        return {bytes(row[0]) for row in cursor.fetchall()}

    def _refusal(self, prepared: Prepared, store_ms: int, latest_ms: int, spent: set[bytes]) -> BridgeError | None:
        """Judge one record by the clocks and the spent set (docs/adr/0002-records-and-group-commit.md)."""
        now_ms = prepared.now_ms
        if self._belief.doubt:
            return CannotDecide(ServiceId.CLOCK, f"time: {self._belief.doubt}")
        if now_ms > store_ms + self._skew_ms:
            return CannotDecide(
                ServiceId.CLOCK, f"time: got {now_ms - store_ms} ms off the store's clock, want {self._skew_ms}"
            )
        if now_ms < store_ms - self._skew_ms:
            # Machine and store agree on the time now, so the request is old: it waited, for the store or in this process.
            waited = f"the request waited {store_ms - now_ms} ms for its commit, want at most {self._skew_ms}"
            return CannotDecide(ServiceId.STORE, f"the store is slow, or this machine is: {waited}")
        if now_ms < latest_ms - self._skew_ms:
            return CannotDecide(
                ServiceId.CLOCK, f"time: got {latest_ms - now_ms} ms before the last record, want {self._skew_ms}"
            )
        if prepared.nonce_hash in spent:
            return EvidenceRejected(ServiceId.NONCE_SPENT, "nonce: it was spent before")
        if store_ms >= prepared.nonce_expires_ms + 2 * self._skew_ms:
            # Its row, had it been spent, may be purged: nothing says any more that it was not.
            return EvidenceRejected(ServiceId.NONCE_EXPIRED, "nonce: it has expired by the store's clock")
        return None
