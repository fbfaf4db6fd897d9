"""The store's part for compiled trust documents: replaced as a set, each row sealed under the digest of its set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.models import state, trust_documents
from verifier.adapters.sql.sealed_rows import trust_form
from verifier.adapters.sql.tables import Tables
from verifier.core.ports import TrustRow

_TRUST_CHUNK = 5_000
# Whether a trust document is the newest version of its name, where it may be either, and where it has to be.
_ANY_STANDING = (True, False)
_NEWEST_ONLY = (True,)
# With the digest that its seal has to be made under, in one statement: one state of the store.
_SET = select(state.c.word).where(state.c.name == "trust").scalar_subquery()
_DOCUMENT = select(trust_documents, _SET).where(
    trust_documents.c.kind == bindparam("of_kind"),
    trust_documents.c.tenant == bindparam("of_tenant"),
    trust_documents.c.name == bindparam("of_name"),
)
_DOCUMENTS = select(trust_documents, _SET).where(
    trust_documents.c.kind == bindparam("of_kind"), trust_documents.c.tenant != ""
)
_ROWS = select(trust_documents, _SET).where(trust_documents.c.tenant != "")
_HISTORY = (
    select(trust_documents, _SET)
    .where(trust_documents.c.kind == bindparam("of_kind"), trust_documents.c.tenant == "")
    .order_by(trust_documents.c.version)
)
_NEWEST_DOCUMENT = _DOCUMENT.order_by(trust_documents.c.version.desc()).limit(1)
_DOCUMENT_VERSION = _DOCUMENT.where(trust_documents.c.version == bindparam("of_version"))
_KEEP_HISTORY = upsert(trust_documents).on_conflict_do_nothing()


class TrustTables(Tables):
    """Trust documents by kind, tenant, name and version, and the history of sets."""

    def trust_digest(self) -> str:
        """Return the digest of the trust documents compiled last, "" for none."""
        with self._database.read() as connection:
            return self._read_state(connection, "trust")[1]

    def trust_number(self) -> int:
        """Return how often a set of trust documents was taken: the number of the one in force."""
        with self._database.read() as connection:
            return self._read_state(connection, "trust")[0]

    def replace_trust(self, digest: str, rows: Iterable[TrustRow], *, after: int | None = None) -> bool:
        """Replace all trust documents and their digest in one transaction; readers see the old or the new ones, whole.

        Rows of the tenant "", which has no documents, are history: once written they stay and are never written over. False, and
        nothing is written, where another process has replaced the set of the number ``after``.
        """
        sealed = self._sealed_trust(list(rows), digest)
        with self._database.write() as connection:
            number, _ = self._read_state(connection, "trust", lock=True)  # replacing processes queue
            if after not in (None, number):
                return False
            connection.execute(delete(trust_documents).where(trust_documents.c.tenant != ""))
            _insert_trust(connection, sealed)
            self._write_state(connection, "trust", number + 1, digest)
            self._count_change(connection)
        return True

    def keep_trust_history(self, rows: Iterable[TrustRow]) -> None:
        """Add rows of the tenant "" alone; the documents stay."""
        with self._database.write() as connection:
            _insert_trust(connection, self._sealed_trust([row for row in rows if not row.tenant], ""))

    def trust_rows(self) -> Sequence[TrustRow]:
        """Return every document of every tenant whose seal fits (not the history rows of the tenant "")."""
        with self._database.read() as connection:
            rows = connection.execute(_ROWS).all()
        return [TrustRow(*tuple(row)[:5]) for row in rows if self._fits_set(row, _ANY_STANDING)]

    def trust_history(self, kind: str) -> Mapping[str, str]:
        """Return the history rows of a kind: body by name, of the newest version. ``CannotDecide`` for one whose seal does not fit."""
        with self._database.read() as connection:
            rows = connection.execute(_HISTORY, {"of_kind": kind}).all()
        for row in rows:
            if not self._fits_set(row, _ANY_STANDING):
                raise self._sealer.of(trust_documents.name).broken(f"{kind} {row.name}", is_sealed=row.seal is not None)
        return {row.name: str(row.body) for row in rows}

    def _sealed_trust(self, rows: Sequence[TrustRow], digest: str) -> Iterator[dict[str, Any]]:
        """Return rows as they are written, each with its seal in the set of that digest."""
        newest: dict[tuple[str, str, str], int] = {}
        for row in rows:
            key = (row.kind, row.tenant, row.name)
            newest[key] = max(row.version, newest.get(key, row.version))
        seals = self._sealer.of(trust_documents.name)
        for row in rows:
            values: dict[str, Any] = {
                name: getattr(row, name) for name in ("kind", "tenant", "name", "version", "body")
            }
            is_newest = newest[row.kind, row.tenant, row.name] == row.version
            yield {**values, "seal": seals.seal(*trust_form(**values, digest=digest, is_newest=is_newest))}

    def trust_document(self, kind: str, tenant: str, name: str, version: int | None = None) -> str | None:
        """Return a document's JSON; the newest version where none is named."""
        key: dict[str, str | int] = {"of_kind": kind, "of_tenant": tenant, "of_name": name}
        with self._database.read() as connection:
            if version is None:
                row = connection.execute(_NEWEST_DOCUMENT, key).one_or_none()
            else:
                row = connection.execute(_DOCUMENT_VERSION, {**key, "of_version": version}).one_or_none()
        if row is None:
            return None
        if not self._fits_set(row, _NEWEST_ONLY if version is None else _ANY_STANDING):
            shown = f"{kind} {tenant} {name} {row.version}"
            raise self._sealer.of(trust_documents.name).broken(shown, is_sealed=row.seal is not None)
        return str(row.body)

    def trust_documents(self, kind: str) -> Sequence[str]:
        """Return the JSON of every document of a kind whose seal fits. Who asks for another one is told (``trust_document``)."""
        with self._database.read() as connection:
            rows = connection.execute(_DOCUMENTS, {"of_kind": kind}).all()
        return [str(row.body) for row in rows if self._fits_set(row, _ANY_STANDING)]

    def _fits_set(self, row: Any, standings: Sequence[bool]) -> bool:
        kind, tenant, name, version, body, seal, digest = row
        seals = self._sealer.of(trust_documents.name)
        return any(
            seals.fits(seal, *trust_form(kind, tenant, name, version, body, digest, is_newest=one)) for one in standings
        )


def _insert_trust(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    for chunk in _chunks(rows, _TRUST_CHUNK):
        for statement, part in (
            (insert(trust_documents), [row for row in chunk if row["tenant"]]),
            (_KEEP_HISTORY, [row for row in chunk if not row["tenant"]]),
        ):
            if part:
                connection.execute(statement, part)


def _chunks(rows: Iterable[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
