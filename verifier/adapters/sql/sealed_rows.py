"""Every table whose rows are sealed, for what goes over all rows: the first sealing, and the search for rows that were changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, bindparam, func, select, update

from verifier.adapters.sql.models import (
    chain_head,
    high_water,
    state,
    store_events,
    tpm_aks,
    tpm_eks,
    tpm_tickets,
    trust_documents,
)
from verifier.adapters.sql.seals import Sealer, Value

_CHUNK: Final = 1_000
# Rows of ``standing`` that grant nothing: the time of the last try to write, the time that was believed last, and what
# `verifier store restore` leaves for the start.
UNSEALED_STATE: Final = ("ping", "time", "restored")
_PLAIN: Final = (tpm_eks, tpm_tickets, tpm_aks, high_water, store_events)

Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with a column ``seal``. ``is_single``: its rows are always there."""

    table: Table
    is_single: bool = False

    @property
    def name(self) -> str:
        """The table's name."""
        return self.table.name

    def forms(self, row: Row[Any]) -> Sequence[tuple[Value, ...]]:
        """Return what may be under the row's seal, the form to seal it with first. By default: the row without its seal."""
        return (tuple(row[:-1]),)

    def rows(self, connection: Connection) -> Iterator[Row[Any]]:
        """Return all rows that are sealed, in order."""
        key = list(self.table.primary_key)
        statement = select(self.table).order_by(*key).execution_options(yield_per=_CHUNK)
        yield from connection.execute(statement)

    def key(self, row: Row[Any]) -> Key:
        """Return a row's primary key."""
        values = (getattr(row, column.name) for column in self.table.primary_key)
        return tuple(bytes(value) if isinstance(value, memoryview) else value for value in values)

    def shown(self, key: Key) -> str:
        """Return a primary key as an operator reads it."""
        return " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in key)

    def where(self, key: Key) -> ColumnElement[bool]:
        """Return the condition that finds the row."""
        return and_(*(column == value for column, value in zip(self.table.primary_key, key, strict=True)))

    def broken(self, connection: Connection, sealer: Sealer) -> Iterator[Key]:
        """Return the keys of rows whose seal does not fit."""
        seals = sealer.of(self.name)
        for row in self.rows(connection):
            if not any(seals.fits(row.seal, *form) for form in self.forms(row)):
                yield self.key(row)

    def seal_all(self, connection: Connection, sealer: Sealer) -> int:
        """Seal every row as it stands; returns how many."""
        return self._seal(connection, sealer, self.rows(connection))

    def seal_some(self, connection: Connection, sealer: Sealer, keys: Sequence[Key]) -> None:
        """Seal some rows as they stand."""
        wanted = frozenset(keys)
        self._seal(connection, sealer, (row for row in self.rows(connection) if self.key(row) in wanted))

    def _seal(self, connection: Connection, sealer: Sealer, rows: Iterator[Row[Any]]) -> int:
        names = [column.name for column in self.table.primary_key]
        statement = update(self.table).where(*(self.table.c[name] == bindparam(f"of_{name}") for name in names))
        statement = statement.values(seal=bindparam("new_seal"))
        seals = sealer.of(self.name)
        changes: list[Mapping[str, Any]] = []
        for row in rows:
            key = {f"of_{name}": value for name, value in zip(names, self.key(row), strict=True)}
            changes.append({**key, "new_seal": seals.seal(*self.forms(row)[0])})
        for at in range(0, len(changes), _CHUNK):
            connection.execute(statement, changes[at : at + _CHUNK])
        return len(changes)


class _StateRows(SealedTable):
    def rows(self, connection: Connection) -> Iterator[Row[Any]]:
        yield from connection.execute(select(state).where(state.c.name.not_in(UNSEALED_STATE)).order_by(state.c.name))


@dataclass(frozen=True, slots=True)
class _TrustRows(SealedTable):
    """Rows of one compiled set are sealed under its digest, so that a row of an older set does not fit in."""

    digest: str = ""
    newest: Mapping[Key, int] = field(default_factory=dict)

    def forms(self, row: Row[Any]) -> Sequence[tuple[Value, ...]]:
        kind, tenant, name, version, body, _seal = tuple(row)
        is_newest = self.newest.get((kind, tenant, name)) == version
        return (trust_form(kind, tenant, name, version, body, self.digest, is_newest=is_newest),)


def trust_form(
    kind: str, tenant: str, name: str, version: int, body: str, digest: str, *, is_newest: bool
) -> tuple[Value, ...]:
    """Return what is under the seal of a trust document: the row, the digest of its set, and whether a newer version is in the set.

    The last, because who asks for no version gets the newest: without it, who removes a row brings the older one back. History
    (tenant "") belongs to no set.
    """
    if not tenant:
        return kind, tenant, name, version, body
    return kind, tenant, name, version, body, digest, "newest" if is_newest else "older"


def sealed_tables(connection: Connection) -> Sequence[SealedTable]:
    """Return every table with sealed rows, as it is now."""
    of = trust_documents.c
    versions = select(of.kind, of.tenant, of.name, func.max(of.version)).group_by(of.kind, of.tenant, of.name)
    newest = {(kind, tenant, name): version for kind, tenant, name, version in connection.execute(versions)}
    digest = connection.execute(select(state.c.word).where(state.c.name == "trust")).scalar_one_or_none() or ""
    return (
        SealedTable(chain_head, is_single=True),
        _StateRows(state, is_single=True),
        *(SealedTable(table) for table in _PLAIN),
        _TrustRows(trust_documents, digest=digest, newest=newest),
    )
