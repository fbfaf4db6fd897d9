"""The store and the time: what it remembers of it, and an operator's word that a clock is right (``core.timekeeping``)."""

from __future__ import annotations

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.models import StoreClock, chain_head, findings, records, state
from verifier.adapters.sql.records import WRITTEN, link, prepare
from verifier.adapters.sql.standing import StandingTables
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord, VerdictRecord
from verifier.core.settings import SKEW_MS
from verifier.core.timekeeping import StoreTimes
from verifier.formats.errors import CannotDecide

KEPT_NAME = "time"  # a row of ``standing``, unsealed (it can only hold things up): the time that was believed last, Unix milliseconds
KEPT = select(state.c.number).where(state.c.name == KEPT_NAME)
# As the writer's cursor reads it, beside the head of the chain.
KEPT_SQL = f"(SELECT number FROM {state.name} WHERE name = '{KEPT_NAME}')"  # noqa: S608 - a constant

_TIMES = select(StoreClock(), chain_head.c.latest_ms, KEPT.scalar_subquery()).where(chain_head.c.id == 1)
_BEGIN = upsert(state).values(name=KEPT_NAME, number=0, word="").on_conflict_do_nothing()
_KEEP = (
    update(state)
    .where(state.c.name == KEPT_NAME, state.c.number == bindparam("seen_ms"))
    .values(number=bindparam("time_ms"))
)
_KEEP_FINDINGS = upsert(findings).on_conflict_do_nothing()


class TimeTables(StandingTables):
    """The store's part for the time."""

    def times(self) -> StoreTimes:
        """Return the store's clock, the newest time of any record, and the time that was believed last."""
        with self._database.read() as connection:
            store_ms, record_ms, kept_ms = connection.execute(_TIMES).one()
        return StoreTimes(int(store_ms), int(record_ms), int(kept_ms or 0))

    def keep_time(self, seen_ms: int, time_ms: int) -> None:
        """Remember the time that is believed, unless another has changed what is remembered since ``seen_ms`` was read."""
        with self._database.write() as connection:
            if not seen_ms:
                connection.execute(_BEGIN)
            connection.execute(_KEEP, {"seen_ms": seen_ms, "time_ms": time_ms})

    def accept_clock(self, word: VerdictRecord) -> CommittedRecord:
        """Take an operator's word that the clock is right: its time becomes all that the store remembers of the time.

        The word is a record of the chain, in the same transaction. ``CannotDecide('service.clock')`` where the store's clock is
        another: then one of the two is wrong, and nothing is written.
        """
        prepared = prepare(word)
        with self._database.write() as connection:
            head = self._lock_head(connection)
            off_ms = word.now_ms - int(connection.execute(select(StoreClock())).scalar_one())
            if abs(off_ms) > SKEW_MS:
                detail = (
                    f"time: got {off_ms} ms off the store's clock, want {SKEW_MS}: set the clock that is wrong first"
                )
                raise CannotDecide(ServiceId.CLOCK, detail)
            before = CommittedRecord(int(head.seq), bytes(head.last_digest))
            after = link(prepared, before)
            row = (after.seq, before.digest, after.digest, *prepared.row)
            connection.execute(_KEEP_FINDINGS, {"digest": prepared.findings.digest, "body": prepared.findings.body})
            connection.execute(insert(records), dict(zip(WRITTEN, row, strict=True)))
            seal = self._sealer.of(chain_head.name).seal(1, after.seq, after.digest, word.now_ms, head.floor_ms)
            moved = {"seq": after.seq, "last_digest": after.digest, "latest_ms": word.now_ms, "seal": seal}
            connection.execute(update(chain_head).where(chain_head.c.id == 1).values(moved))
            connection.execute(_BEGIN)
            connection.execute(update(state).where(state.c.name == KEPT_NAME).values(number=word.now_ms))
        return after
