"""``SqlStore``: what the stores of ``verifier.core.ports`` ask for, and what commands read and change beside them.

Verdicts go through the group writer; all else is one statement or one short transaction.
A store may be made and used before a fork (``forking``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike
from sqlalchemy.engine import URL

from verifier.adapters.sql import tpm
from verifier.adapters.sql.engine import Database, read_url
from verifier.adapters.sql.forking import OwnedByProcess
from verifier.adapters.sql.models import (
    StoreClock,
    chain_head,
    evidence,
    high_water,
    leases,
    records,
    spent_nonces,
    state,
    trust_documents,
)
from verifier.adapters.sql.records import COLUMNS, GENESIS, prepare, stored, verify_links
from verifier.adapters.sql.schema import check_server, migrate
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord, Settled, StoredRecord, TrustRow, VerdictRecord
from verifier.core.settings import SKEW_MS
from verifier.formats.errors import ConfigError, EvidenceRejected, mismatch

EPOCHS = 1 << 16  # the nonce has two bytes for it
EPOCH_STEP_MS = 20  # as in the first migration
_MARK_SIZE = 32
_TRUST_CHUNK = 5_000
_WALK_CHUNK = 1_000

_EPOCH = select(state.c.number).where(state.c.name == "epoch")
_TRUST_DIGEST = select(state.c.word).where(state.c.name == "trust")
_KIND_NAME = "kind"
_KIND = select(state.c.word).where(state.c.name == _KIND_NAME)
_SET_KIND = upsert(state).on_conflict_do_nothing()
_HEAD = select(chain_head.c.seq, chain_head.c.digest).where(chain_head.c.id == 1)
_RECORD_COLUMNS = [records.c[name] for name in COLUMNS]
_RECORDS_AFTER = (
    select(*_RECORD_COLUMNS).where(records.c.seq > bindparam("after")).order_by(records.c.seq).limit(bindparam("most"))
)
_RECORD = select(*_RECORD_COLUMNS).where(records.c.seq == bindparam("number"))
_EVIDENCE = select(evidence.c.body).where(evidence.c.digest == bindparam("of_digest"))
_DOCUMENT = select(trust_documents.c.body).where(
    trust_documents.c.kind == bindparam("of_kind"),
    trust_documents.c.tenant == bindparam("of_tenant"),
    trust_documents.c.name == bindparam("of_name"),
)
_DOCUMENTS = select(trust_documents.c.body).where(
    trust_documents.c.kind == bindparam("of_kind"), trust_documents.c.tenant != ""
)
_NEWEST_DOCUMENT = _DOCUMENT.order_by(trust_documents.c.version.desc()).limit(1)
_DOCUMENT_VERSION = _DOCUMENT.where(trust_documents.c.version == bindparam("of_version"))
_KEEP_HISTORY = upsert(trust_documents).on_conflict_do_nothing()
_MARK = select(high_water.c.number).where(high_water.c.issuer == bindparam("of_issuer"))
_RAISE_MARK = upsert(high_water)
_RAISE_MARK = _RAISE_MARK.on_conflict_do_update(
    index_elements=[high_water.c.issuer],
    set_={"number": _RAISE_MARK.excluded.number},
    where=high_water.c.number < _RAISE_MARK.excluded.number,
)
_NEW_LEASE = upsert(leases).values(
    name=bindparam("name"), holder=bindparam("holder"), expires_ms=StoreClock() + bindparam("life_ms")
)
_TAKE_LEASE = _NEW_LEASE.on_conflict_do_update(
    index_elements=[leases.c.name],
    set_={"holder": _NEW_LEASE.excluded.holder, "expires_ms": _NEW_LEASE.excluded.expires_ms},
    where=(leases.c.holder == _NEW_LEASE.excluded.holder) | (leases.c.expires_ms <= StoreClock()),
).execution_options(preserve_rowcount=True)


def open_store(url: str, *, skew_ms: int = SKEW_MS, keep_evidence: bool = True) -> SqlStore:
    """Open a store, migrating its database first where that is needed.

    ``skew_ms`` is the greatest clock difference that is borne; without ``keep_evidence`` only digests of evidence are
    kept. Raises ``ConfigError`` for a URL, file or server that will not do, ``CannotDecide`` when it does not answer.
    """
    parsed = read_url(url)
    check_server(parsed)
    migrate(url)
    return SqlStore(parsed, skew_ms=skew_ms, keep_evidence=keep_evidence)


class SqlStore(tpm.TpmTables):
    """A store in a migrated SQLite file or PostgreSQL database; made by ``open_store``."""

    def __init__(self, url: URL, *, skew_ms: int, keep_evidence: bool) -> None:
        self._skew_ms = skew_ms
        self._owned = OwnedByProcess(url, skew_ms=skew_ms, keep_evidence=keep_evidence)

    def reserve(self, *, simulated: bool) -> None:
        """Keep this database for one kind of process; the first process that opens it decides. ``ConfigError`` for the other kind.

        Forged TEEs have a store of their own (docs/operations.md): in a shared one each would enrol and compile for the other.
        """
        wanted = "simulated" if simulated else "production"
        with self._database.read() as connection:
            kind = connection.execute(_KIND).scalar_one_or_none()
        if kind is None:
            with self._database.write() as connection:
                connection.execute(_SET_KIND, {"name": _KIND_NAME, "number": 0, "word": wanted})
                kind = connection.execute(_KIND).scalar_one()
        if kind != wanted:
            self.close()
            raise ConfigError("settings", "database_url", f"the store of a {kind} process", f"one for {wanted}")

    def epoch(self) -> int:
        """Return the challenge epoch, 0 to 65535."""
        with self._database.read() as connection:
            return int(connection.execute(_EPOCH).scalar_one()) % EPOCHS

    def raise_epoch(self) -> int:
        """Void all challenges; returns the new epoch.

        What is kept grows at least to the store's clock in steps of 20 ms: a restored backup thus never comes to an epoch
        that was already used after it was taken, as counting on by one would. The nonce carries the lowest 16 bits, which
        come round in 22 minutes, long after a challenge's life.
        """
        with self._database.write() as connection:
            seen = int(connection.execute(_EPOCH).scalar_one())
            raised = next_epoch(seen, int(connection.execute(select(StoreClock())).scalar_one()))
            connection.execute(update(state).where(state.c.name == "epoch").values(number=raised))
        return raised % EPOCHS

    def commit_verdict(self, record: VerdictRecord) -> CommittedRecord:
        """Spend the nonce and write the record in one durable transaction, shared with the verdicts that commit at the same time.

        Raises ``CannotDecide('service.clock')`` for a time that is off the store's clock, or before the last record, by
        more than the skew; ``EvidenceRejected`` under ``service.nonce.spent`` or ``service.nonce.expired``;
        ``CannotDecide('service.store')``: then nothing was written, unless the connection broke within COMMIT itself or
        the wait ended first (10 s), where a nonce may be spent without a token. ``ValueError`` for what no database holds.
        """
        return self._owned.here().writer.commit(prepare(record))

    def commit_soon(self, record: VerdictRecord, settled: Settled) -> Callable[[], None]:
        """Keep a verdict for the next ``flush``; ``settled`` is called once, from another thread, with its outcome.

        For one thread that waits for no commit itself. Returns what gives up on it; a record that the writer took is written all
        the same. ``ValueError`` for what no database holds.
        """
        return self._owned.here().writer.commit_soon(prepare(record), settled)

    def flush(self) -> None:
        """Have the verdicts of ``commit_soon`` written, in one transaction. ``CannotDecide('service.store')`` from a closed store."""
        self._owned.here().writer.flush()

    @property
    def is_local(self) -> bool:
        """Tell whether reading never waits for a network or another machine."""
        return self._owned.is_local

    def records_after(self, seq: int, limit: int) -> Sequence[StoredRecord]:
        """Return at most ``limit`` records whose number is above ``seq``, in order."""
        with self._database.read() as connection:
            return [stored(row) for row in connection.execute(_RECORDS_AFTER, {"after": seq, "most": limit})]

    def head(self) -> CommittedRecord:
        """Return where the chain of records ends; number 0 without one."""
        with self._database.read() as connection:
            seq, digest = connection.execute(_HEAD).one()
        return CommittedRecord(int(seq), bytes(digest))

    def record(self, seq: int) -> StoredRecord | None:
        """Return one record."""
        with self._database.read() as connection:
            row = connection.execute(_RECORD, {"number": seq}).one_or_none()
        return None if row is None else stored(row)

    def evidence(self, digest: bytes) -> bytes | None:
        """Return kept evidence by its SHA-256."""
        with self._database.read() as connection:
            body = connection.execute(_EVIDENCE, {"of_digest": digest}).scalar_one_or_none()
        return None if body is None else bytes(body)

    def verify_chain(self) -> CommittedRecord:
        """Walk all records that were there at the start; raises ``EvidenceRejected('service.record.chain')``.

        Also checked: that the last one is where the head says that the chain ends. Not checked: that records *and* head
        were not cut back together; who wants to know keeps an older head elsewhere.
        """
        with self._database.read() as connection:
            seq, digest = connection.execute(_HEAD).one()
        last = verify_links(self._walk(int(seq)))
        if last != CommittedRecord(seq, bytes(digest)):
            raise EvidenceRejected(
                ServiceId.RECORD_CHAIN, mismatch("end of the chain", last, CommittedRecord(seq, bytes(digest)))
            )
        return last

    def trust_digest(self) -> str:
        """Return the digest of the trust documents compiled last, "" for none."""
        with self._database.read() as connection:
            return str(connection.execute(_TRUST_DIGEST).scalar_one())

    def replace_trust(self, digest: str, rows: Iterable[TrustRow]) -> None:
        """Replace all trust documents and their digest in one transaction; readers see the old or the new ones, whole.

        Rows of the tenant "", which has no documents, are history: once written they stay and are never written over.
        """
        with self._database.write() as connection:
            connection.execute(delete(trust_documents).where(trust_documents.c.tenant != ""))
            for chunk in _chunks(rows, _TRUST_CHUNK):
                listed = [
                    {"kind": r.kind, "tenant": r.tenant, "name": r.name, "version": r.version, "body": r.body}
                    for r in chunk
                ]
                for statement, part in (
                    (insert(trust_documents), [row for row in listed if row["tenant"]]),
                    (_KEEP_HISTORY, [row for row in listed if not row["tenant"]]),
                ):
                    if part:
                        connection.execute(statement, part)
            connection.execute(update(state).where(state.c.name == "trust").values(word=digest))

    def trust_document(self, kind: str, tenant: str, name: str, version: int | None = None) -> str | None:
        """Return a document's JSON; the newest version where none is named."""
        key: dict[str, str | int] = {"of_kind": kind, "of_tenant": tenant, "of_name": name}
        with self._database.read() as connection:
            if version is None:
                return connection.execute(_NEWEST_DOCUMENT, key).scalar_one_or_none()
            return connection.execute(_DOCUMENT_VERSION, {**key, "of_version": version}).scalar_one_or_none()

    def trust_documents(self, kind: str) -> Sequence[str]:
        """Return the JSON of every document of a kind, of all tenants."""
        with self._database.read() as connection:
            return list(connection.execute(_DOCUMENTS, {"of_kind": kind}).scalars())

    def high_water(self, issuer: str) -> int | None:
        """Return an issuer's mark; ``None`` where none was ever raised."""
        with self._database.read() as connection:
            seen = connection.execute(_MARK, {"of_issuer": issuer}).scalar_one_or_none()
        return None if seen is None else int.from_bytes(bytes(seen), "big")

    def raise_high_water(self, issuer: str, number: int) -> bool:
        """Raise an issuer's mark; false when ``number`` (0 to 2^256 - 1) is below it. Only a higher number writes."""
        wanted = number.to_bytes(_MARK_SIZE, "big")
        # Marks never fall, so whatever is read here still holds as a lower bound.
        with self._database.read() as connection:
            seen = connection.execute(_MARK, {"of_issuer": issuer}).scalar_one_or_none()
        if seen is not None and bytes(seen) >= wanted:
            return bytes(seen) == wanted
        with self._database.write() as connection:
            connection.execute(_RAISE_MARK, {"issuer": issuer, "number": wanted})
            return bytes(connection.execute(_MARK, {"of_issuer": issuer}).scalar_one()) == wanted

    def acquire_lease(self, name: str, holder: str, life_ms: int) -> bool:
        """Take or renew a lease for ``life_ms`` milliseconds by the store's clock; false while another holds it."""
        if life_ms <= 0:
            raise ValueError(f"life_ms: got {life_ms}, want more than 0")
        with self._database.write() as connection:
            taken = connection.execute(_TAKE_LEASE, {"name": name, "holder": holder, "life_ms": life_ms})
            return taken.rowcount == 1

    def purge(self, *, evidence_before_ms: int) -> int:
        """Delete, by the store's clock, spent nonces past expiry and twice the skew, dead tickets, and old evidence.

        Evidence goes when it was last seen before ``evidence_before_ms``. Records stay. Returns how many rows went.
        """
        with self._database.write() as connection:
            now_ms = int(connection.execute(select(StoreClock())).scalar_one())
            gone = connection.execute(delete(spent_nonces).where(spent_nonces.c.dead_ms < now_ms)).rowcount
            gone += tpm.purge_tickets(connection, now_ms - 2 * self._skew_ms)
            return gone + connection.execute(delete(evidence).where(evidence.c.kept_ms < evidence_before_ms)).rowcount

    def ping(self) -> None:
        """Write a row, durably; raises ``CannotDecide`` when that fails."""
        with self._database.write() as connection:
            connection.execute(update(state).where(state.c.name == "ping").values(number=StoreClock()))

    def close(self) -> None:
        """Write what waits, stop the writer, close connections. A later use opens them anew."""
        self._owned.close()

    @property
    def _database(self) -> Database:
        return self._owned.here().database

    def _walk(self, end: int) -> Iterator[StoredRecord]:
        after = GENESIS.seq
        while after < end:
            found = self.records_after(after, min(_WALK_CHUNK, end - after))
            if not found:
                return
            yield from found
            after = found[-1].seq


def next_epoch(seen: int, now_ms: int) -> int:
    """Return the number that follows ``seen``: at least the clock's, and never one with the same lowest 16 bits."""
    raised = max(seen + 1, now_ms // EPOCH_STEP_MS)
    return raised + 1 if raised % EPOCHS == seen % EPOCHS else raised


def _chunks(rows: Iterable[TrustRow], size: int) -> Iterator[list[TrustRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
