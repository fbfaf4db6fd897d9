"""Which store this is, and where it stands: its kind of process, epoch, seals, and the mark that a restored one is known by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.models import StoreClock, chain_head, records, state, store_events, trust_documents
from verifier.adapters.sql.sealed_rows import Key, SealedTable, sealed_tables
from verifier.adapters.sql.tables import Tables
from verifier.core.ids import ServiceId
from verifier.core.ports import BrokenRow, StoreMark
from verifier.formats.encoding import canonical
from verifier.formats.errors import CannotDecide, ConfigError

EPOCHS: Final = 1 << 16  # the nonce has two bytes for it
EPOCH_STEP_MS: Final = 20  # as in the first migration
_KIND: Final = "kind"
_RAISE_EPOCH: Final = "stop the service, then run `verifier store raise-epoch --reason TEXT` (docs/backup.md)"
_SET_KIND = upsert(state).on_conflict_do_nothing()
_HAS_STATE = select(state.c.number).where(state.c.name == bindparam("of_name"))
_HEAD = select(chain_head).where(chain_head.c.id == 1)
_HEAD_LOCKED = _HEAD.with_for_update()
_DIGEST = select(records.c.digest).where(records.c.seq == bindparam("number"))


@dataclass(frozen=True, slots=True)
class StoreEvent:
    """What was done to the store, and when by its clock."""

    seq: int
    at_ms: int
    what: str
    detail: str  # RFC 8785


class StandingTables(Tables):
    """The store's part for what there is one of."""

    def reserve(self, *, simulated: bool) -> None:
        """Keep this database for one kind of process; the first process that opens it decides. ``ConfigError`` for the other kind.

        Forged TEEs have a store of their own (docs/operations.md): in a shared one each would enrol and compile for the other.
        """
        wanted = "simulated" if simulated else "production"
        with self._database.read() as connection:
            kind = self._kind(connection)
        if kind is None:
            seal = self._sealer.of(state.name).seal(_KIND, 0, wanted)
            with self._database.write() as connection:
                connection.execute(_SET_KIND, {"name": _KIND, "number": 0, "word": wanted, "seal": seal})
                kind = self._kind(connection)
        if kind != wanted:
            self.close()
            raise ConfigError("settings", "database_url", f"the store of a {kind} process", f"one for {wanted}")

    def _kind(self, connection: Connection) -> str | None:
        if connection.execute(_HAS_STATE, {"of_name": _KIND}).one_or_none() is None:
            return None
        return self._read_state(connection, _KIND)[1]

    def epoch(self) -> int:
        """Return the challenge epoch, 0 to 65535."""
        with self._database.read() as connection:
            return self._read_state(connection, "epoch")[0] % EPOCHS

    def raise_epoch(self, reason: str = "") -> int:
        """Void all challenges; returns the new epoch. A restored store may serve again from then on; ``reason`` is kept.

        What is kept grows at least to the store's clock in steps of 20 ms: a restored backup thus never comes to an epoch
        that was already used after it was taken, as counting on by one would. The nonce carries the lowest 16 bits, which
        come round in 22 minutes, long after a challenge's life.
        """
        with self._database.write() as connection:
            seen, _ = self._read_state(connection, "epoch", lock=True)
            raised = next_epoch(seen, int(connection.execute(select(StoreClock())).scalar_one()))
            self._write_state(connection, "epoch", raised)
            connection.execute(update(state).where(state.c.name == "restored").values(number=0))
            # No challenge of before is good any more, so that none has to be refused for its time: a way out of a floor too high.
            self._write_head(connection, self._lock_head(connection), 0)
            self._note(connection, "epoch-raised", {"epoch": raised % EPOCHS, "reason": reason})
        return raised % EPOCHS

    # -- seals ----------------------------------------------------------------------------------------------------------

    def seal_once(self, *, was_sealed: bool = False) -> Mapping[str, int]:
        """Seal every row of a store that was never sealed; returns how many by table, nothing for a sealed store.

        ``was_sealed``: the mark beside the key file has seen this store sealed, so that an unsealed one is another. ``ConfigError``
        for that, and for a store that is sealed with another key file's secret.
        """
        with self._database.read() as connection:
            number = connection.execute(_HAS_STATE, {"of_name": "seals"}).scalar_one_or_none()
        if number != 0:
            self._check_sealed()
            return {}
        if was_sealed:
            raise ConfigError(
                self._database.shown,
                "seals",
                "a store that was never sealed",
                f"the sealed store that was served; {_RAISE_EPOCH}",
            )
        with self._database.write() as connection:
            lock = select(state.c.number).where(state.c.name == "seals").with_for_update()
            if connection.execute(lock).scalar_one() != 0:
                return {}  # another process was first
            counts = {one.name: one.seal_all(connection, self._sealer) for one in sealed_tables(connection)}
            self._write_state(connection, "seals", 1)
            self._note(connection, "sealed", {"rows": {name: str(count) for name, count in counts.items()}})
        return counts

    def _check_sealed(self) -> None:
        try:
            with self._database.read() as connection:
                self._read_state(connection, "seals")
        except CannotDecide as error:
            if error.check_id != ServiceId.SEAL:
                raise
            want = "the key file that this store was sealed with; after its loss `verifier store seals --keep --reason TEXT`"
            raise ConfigError(self._database.shown, "seals", error.detail, want) from None

    def broken_seals(self) -> list[BrokenRow]:
        """Return every row that decides and whose seal does not fit."""
        with self._database.snapshot() as connection:
            return [
                BrokenRow(table.name, table.shown(key))
                for table in sealed_tables(connection)
                for key in table.broken(connection, self._sealer)
            ]

    def mend_seals(self, reason: str, *, keep: bool) -> list[BrokenRow]:
        """Seal rows whose seal does not fit as they stand, or remove them; returns them. For an operator who looked at them.

        Rows of which there is one each (the chain's head, ``standing``) cannot be removed: ``ConfigError``, and nothing is changed.
        """
        mended: list[BrokenRow] = []
        with self._database.write() as connection:
            for table in sealed_tables(connection):
                keys = list(table.broken(connection, self._sealer))
                if not keep and keys and table.is_single:
                    want = "--keep, or a restored backup: there is one such row, and it cannot be removed"
                    raise ConfigError(self._database.shown, table.name, table.shown(keys[0]), want)
                if keep:
                    table.seal_some(connection, self._sealer, keys)
                else:
                    for key in keys:
                        connection.execute(delete(table.table).where(table.where(key)))
                mended += [BrokenRow(table.name, table.shown(key)) for key in keys]
            if mended:
                listed = [f"{row.table} {row.key}" for row in mended]
                self._note(connection, "kept" if keep else "removed", {"rows": listed, "reason": reason})
                self._count_change(connection)
        return mended

    def mend_trust(self) -> Sequence[BrokenRow]:
        """Forget the compiled set when one of its rows was changed by hand, so that the folder is compiled anew; returns such rows.

        History (tenant "") is not made from the folder. It stays as it is, and what asks for it says no.
        """
        with self._database.snapshot() as connection:
            if not self._broken_trust(connection):
                return []
        with self._database.write() as connection:
            found = self._broken_trust(connection)
            for table, key, _row in found:
                if key:
                    connection.execute(delete(trust_documents).where(table.where(key)))
            rows = [row for *_, row in found]
            if rows:
                # The number stays: history is by it.
                number = int(connection.execute(select(state.c.number).where(state.c.name == "trust")).scalar_one())
                self._write_state(connection, "trust", number, "")
                self._note(connection, "trust-forgotten", {"rows": [f"{row.table} {row.key}" for row in rows]})
        return rows

    def _broken_trust(self, connection: Connection) -> list[tuple[SealedTable, Key, BrokenRow]]:
        *_, table = sealed_tables(connection)
        keys = [key for key in table.broken(connection, self._sealer) if key[1]]
        found = [(table, key, BrokenRow(table.name, table.shown(key))) for key in keys]
        if not self._is_state_whole(connection, "trust"):
            found.append((table, (), BrokenRow(state.name, "trust")))
        return found

    # -- what was done --------------------------------------------------------------------------------------------------

    def events(self) -> Sequence[StoreEvent]:
        """Return what was done to this store, in order; seals checked."""
        with self._database.read() as connection:
            rows = connection.execute(select(store_events).order_by(store_events.c.seq)).all()
        seals = self._sealer.of(store_events.name)
        for *values, seal in rows:
            seals.check(seal, str(values[0]), *values)
        return [StoreEvent(*row[:4]) for row in rows]

    def _note(self, connection: Connection, what: str, detail: Mapping[str, Any]) -> None:
        # Two at once on PostgreSQL: the second of the same number fails. Operators do this, not requests.
        seq = int(connection.execute(select(func.coalesce(func.max(store_events.c.seq), 0))).scalar_one()) + 1
        at_ms = int(connection.execute(select(StoreClock())).scalar_one())
        values: dict[str, Any] = {"seq": seq, "at_ms": at_ms, "what": what, "detail": canonical(dict(detail)).decode()}
        seal = self._sealer.of(store_events.name).seal(*values.values())
        connection.execute(insert(store_events), {**values, "seal": seal})

    # -- the mark -------------------------------------------------------------------------------------------------------

    def mark(self) -> StoreMark:
        """Return where this store stands, for the mark beside the key file."""
        with self._database.snapshot() as connection:
            seq, digest = self._checked_head(connection)
            epoch, _ = self._read_state(connection, "epoch")
            changes, _ = self._read_state(connection, "changes")
        return StoreMark(seq=seq, digest=digest, epoch=epoch, changes=changes)

    def check_mark(self, mark: StoreMark | None) -> None:
        """Refuse a store that was restored, or that lies behind its mark, until the epoch was raised: ``ConfigError``."""
        with self._database.read() as connection:
            restored = connection.execute(_HAS_STATE, {"of_name": "restored"}).scalar_one_or_none()
        if restored:
            raise self._behind("a store that `verifier store restore` filled", "one whose epoch was raised since")
        if mark is None:
            return
        here = self.mark()
        for name in ("seq", "epoch", "changes"):
            got, want = getattr(here, name), getattr(mark, name)
            if got < want:
                raise self._behind(f"{name} {got}", f"at least {want}, as the mark beside the key file has it")
        if mark.seq:
            with self._database.read() as connection:
                digest = connection.execute(_DIGEST, {"number": mark.seq}).scalar_one_or_none()
            if digest is None or bytes(digest) != mark.digest:
                got = f"record {mark.seq} {'missing' if digest is None else bytes(digest).hex()}"
                raise self._behind(got, f"the digest {mark.digest.hex()} of the mark beside the key file")

    def _behind(self, got: str, want: str) -> ConfigError:
        return ConfigError(self._database.shown, "restored store", got, f"{want}; {_RAISE_EPOCH}")

    def _checked_head(self, connection: Connection) -> tuple[int, bytes]:
        head = self._check_head(connection.execute(_HEAD).one())
        return int(head.seq), bytes(head.last_digest)

    def _lock_head(self, connection: Connection) -> Any:
        return self._check_head(connection.execute(_HEAD_LOCKED).one())

    def _check_head(self, head: Any) -> Any:
        *values, seal = head
        self._sealer.of(chain_head.name).check(seal, "1", *values)
        return head

    def _write_head(self, connection: Connection, head: Any, floor_ms: int) -> None:
        seal = self._sealer.of(chain_head.name).seal(head.id, head.seq, head.last_digest, head.latest_ms, floor_ms)
        connection.execute(update(chain_head).where(chain_head.c.id == 1).values(floor_ms=floor_ms, seal=seal))


def next_epoch(seen: int, now_ms: int) -> int:
    """Return the number that follows ``seen``: at least the clock's, and never one with the same lowest 16 bits."""
    raised = max(seen + 1, now_ms // EPOCH_STEP_MS)
    return raised + 1 if raised % EPOCHS == seen % EPOCHS else raised
