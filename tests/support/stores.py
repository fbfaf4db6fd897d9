"""What tests ask of a store that the product does not: its clock, and the newest time of its records."""

from __future__ import annotations

from sqlalchemy import select, update

from verifier.adapters.sql.models import StoreClock, chain_head
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.store import SqlStore

# A key of no key file's, for stores that no verifier serves from.
SEALER = Sealer(lambda: b"\x5e" * 32)
SKEW_MS = 5_000  # how far a time may be off a store's clock


def clock_ms(store: SqlStore) -> int:
    """Return the store's own clock, by which it judges times."""
    with store._database.read() as connection:
        return int(connection.execute(select(StoreClock())).scalar_one())


def set_last_record_ms(store: SqlStore, time_ms: int) -> None:
    """Make the head of the chain say another newest time, under its seal."""
    with store._database.write() as connection:
        head = store._lock_head(connection)
        seal = store._sealer.of(chain_head.name).seal(1, head.seq, head.last_digest, time_ms, head.floor_ms)
        connection.execute(update(chain_head).where(chain_head.c.id == 1).values(latest_ms=time_ms, seal=seal))


def last_record_ms(store: SqlStore) -> int:
    """Return the newest time that any record has, 0 without one."""
    with store._database.read() as connection:
        return int(connection.execute(select(chain_head.c.latest_ms).where(chain_head.c.id == 1)).scalar_one())
