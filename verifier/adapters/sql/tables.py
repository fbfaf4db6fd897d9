"""What the store's parts share: this process's connections, the sealer, and the counter of changes to rows that decide."""

from __future__ import annotations

from abc import abstractmethod

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.engine import Database
from verifier.adapters.sql.models import state
from verifier.adapters.sql.seals import Sealer
from verifier.core.ids import ServiceId
from verifier.formats.errors import CannotDecide

STATE = state.name
_STATE = select(state.c.number, state.c.word, state.c.seal).where(state.c.name == bindparam("of_name"))
_STATE_LOCKED = _STATE.with_for_update()
_SET_STATE = upsert(state)
_SET_STATE = _SET_STATE.on_conflict_do_update(
    index_elements=[state.c.name],
    set_={name: _SET_STATE.excluded[name] for name in ("number", "word", "seal")},
)


class Tables:
    """The base of the store's parts."""

    _sealer: Sealer

    @property
    @abstractmethod
    def _database(self) -> Database:
        """This process's connections."""

    @abstractmethod
    def close(self) -> None:
        """Write what waits, stop the writer, close connections."""

    def _read_state(self, connection: Connection, name: str, *, lock: bool = False) -> tuple[int, str]:
        """Return number and word of a row of ``standing``, its seal checked."""
        row = connection.execute(_STATE_LOCKED if lock else _STATE, {"of_name": name}).one_or_none()
        if row is None:
            raise CannotDecide(ServiceId.STORE, f"{STATE} {name}: got no such row, want one: was it removed by hand?")
        number, word, seal = row
        self._sealer.of(STATE).check(seal, name, name, number, word)
        return int(number), str(word)

    def _is_state_whole(self, connection: Connection, name: str) -> bool:
        try:
            self._read_state(connection, name)
        except CannotDecide as error:
            if error.check_id != ServiceId.SEAL:
                raise
            return False
        return True

    def _write_state(self, connection: Connection, name: str, number: int, word: str = "") -> None:
        """Write number and word of a row of ``standing``, made where it is missing."""
        seal = self._sealer.of(STATE).seal(name, number, word)
        connection.execute(_SET_STATE, {"name": name, "number": number, "word": word, "seal": seal})

    def _count_change(self, connection: Connection) -> None:
        """Count a change of rows that decide: a backup from before it is known by the lower count."""
        number, _ = self._read_state(connection, "changes", lock=True)
        self._write_state(connection, "changes", number + 1)
