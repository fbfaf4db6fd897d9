"""What tests ask of a store that the product does not: its clock, and the newest time of its records."""

from __future__ import annotations

from sqlalchemy import select

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


def last_record_ms(store: SqlStore) -> int:
    """Return the newest time that any record has, 0 without one."""
    with store._database.read() as connection:
        return int(connection.execute(select(chain_head.c.latest_ms).where(chain_head.c.id == 1)).scalar_one())
