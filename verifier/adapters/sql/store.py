"""``SqlStore``: what the stores of ``verifier.core.ports`` ask for, and what commands read and change beside them.

Verdicts go through the group writer; all else is one statement or one short transaction.
A store may be made and used before a fork (``forking``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike
from sqlalchemy.engine import URL

from verifier.adapters.clock import SystemClock
from verifier.adapters.sql.backup import Backup, write_backup
from verifier.adapters.sql.engine import Database, read_url
from verifier.adapters.sql.forking import OwnedByProcess
from verifier.adapters.sql.models import (
    StoreClock,
    chain_head,
    evidence,
    evidence_parts,
    findings,
    high_water,
    leases,
    records,
    spent_nonces,
    state,
    trust_documents,
)
from verifier.adapters.sql.packing import unpack
from verifier.adapters.sql.records import COLUMNS, GENESIS, prepare, stored, verify_links
from verifier.adapters.sql.schema import check_server, migrate
from verifier.adapters.sql.sealed_rows import trust_form
from verifier.adapters.sql.seals import Sealer, no_key
from verifier.adapters.sql.timekeeping import TimeTables
from verifier.adapters.sql.tpm import TpmTables, purge_tickets
from verifier.adapters.sql.writer import PART_SLACK_MS
from verifier.core.ids import ServiceId
from verifier.core.ports import CommittedRecord, Lease, Settled, SteadyClock, StoredRecord, TrustRow, VerdictRecord
from verifier.core.settings import SKEW_MS
from verifier.formats.errors import EvidenceRejected, mismatch

LEASE_MAX_MS = 60_000
_MARK_SIZE = 32
_TRUST_CHUNK = 5_000
# Whether a trust document is the newest version of its name, where it may be either, and where it has to be.
_ANY_STANDING = (True, False)
_NEWEST_ONLY = (True,)
_WALK_CHUNK = 1_000
_PURGE_CHUNK = 2_000

_HEAD = select(chain_head.c.seq, chain_head.c.last_digest).where(chain_head.c.id == 1)
_RECORDS = select(*(records.c[name] for name in COLUMNS), findings.c.body).outerjoin_from(
    records, findings, records.c.findings_digest == findings.c.digest
)
_RECORDS_AFTER = _RECORDS.where(records.c.seq > bindparam("after")).order_by(records.c.seq).limit(bindparam("most"))
_RECORD = _RECORDS.where(records.c.seq == bindparam("number"))
_EVIDENCE = select(evidence.c.body, evidence.c.packed).where(evidence.c.digest == bindparam("of_digest"))
_PART = select(evidence_parts.c.body).where(evidence_parts.c.digest == bindparam("of_digest"))
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
_MARK = select(high_water.c.number, high_water.c.seal).where(high_water.c.issuer == bindparam("of_issuer"))
_RAISE_MARK = upsert(high_water)
_RAISE_MARK = _RAISE_MARK.on_conflict_do_update(
    index_elements=[high_water.c.issuer],
    set_={"number": _RAISE_MARK.excluded.number, "seal": _RAISE_MARK.excluded.seal},
    where=high_water.c.number < _RAISE_MARK.excluded.number,
)
_NEW_LEASE = upsert(leases).values(
    name=bindparam("name"), holder=bindparam("holder"), expires_ms=StoreClock() + bindparam("life_ms")
)
_TAKE_LEASE = _NEW_LEASE.on_conflict_do_update(
    index_elements=[leases.c.name],
    set_={"holder": _NEW_LEASE.excluded.holder, "expires_ms": _NEW_LEASE.excluded.expires_ms},
    # One that ends later than any may was taken by a clock that was ahead: nobody has to wait for its time.
    where=(leases.c.holder == _NEW_LEASE.excluded.holder)
    | (leases.c.expires_ms <= StoreClock())
    | (leases.c.expires_ms > StoreClock() + LEASE_MAX_MS),
).execution_options(preserve_rowcount=True)
_LEASE = select(leases.c.holder, leases.c.expires_ms, StoreClock()).where(leases.c.name == bindparam("of_name"))


def open_store(
    url: str,
    sealer: Sealer | None = None,
    *,
    skew_ms: int = SKEW_MS,
    keep_evidence: bool = True,
    was_sealed: bool = False,
    check_seals: bool = True,
    clock: SteadyClock | None = None,
) -> SqlStore:
    """Open a store, migrating its database first where that is needed, and sealing it where it never was.

    Without a ``sealer`` records and evidence can be read, and nothing else: all that decides is a ``ConfigError``. ``was_sealed``:
    this store is known to be sealed, and one that says otherwise is refused. Without ``check_seals`` nothing is sealed and nothing
    refused: for who mends seals. ``skew_ms`` is the greatest clock difference that is
    borne; without ``keep_evidence`` only digests of evidence are kept. ``clock`` is the machine's where a test does not
    move it. Raises ``ConfigError`` for a URL, file or server that will
    not do, ``CannotDecide`` when it does not answer.
    """
    parsed = read_url(url)
    check_server(parsed)
    migrate(url)
    store = SqlStore(parsed, sealer, skew_ms=skew_ms, keep_evidence=keep_evidence, clock=clock or SystemClock())
    if sealer is not None and check_seals:
        try:
            store.first_sealed = store.seal_once(was_sealed=was_sealed)
        except BaseException:
            store.close()
            raise
    return store


class SqlStore(TpmTables, TimeTables):
    """A store in a migrated SQLite file or PostgreSQL database; made by ``open_store``.

    ``first_sealed``: how many rows of which table were sealed when it was opened, because the store never was before.
    """

    first_sealed: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self, url: URL, sealer: Sealer | None, *, skew_ms: int, keep_evidence: bool, clock: SteadyClock
    ) -> None:
        self.has_key = sealer is not None
        self._sealer = sealer or Sealer(no_key)
        self._skew_ms = skew_ms
        self._keep_evidence = keep_evidence
        self._owned = OwnedByProcess(url, self._sealer, skew_ms=skew_ms, clock=clock)

    def commit_verdict(self, record: VerdictRecord) -> CommittedRecord:
        """Spend the nonce and write the record in one durable transaction, shared with the verdicts that commit at the same time.

        Raises ``CannotDecide('service.clock')`` for a clock that is not to be believed (``core.timekeeping``), or a time that is
        off the store's clock, or before the last record, by more than the skew; ``EvidenceRejected`` under
        ``service.nonce.spent`` or ``service.nonce.expired``; ``CannotDecide('service.store')``, also for a record that waited
        longer than the skew: then nothing was written, unless the connection broke within COMMIT itself or the wait ended
        first (10 s), where a nonce may be spent without a token. ``ValueError`` for what no database holds.
        """
        self._sealer.of(chain_head.name)  # without a key file: a mistake of the caller's, not of the writer's thread
        return self._owned.here().writer.commit(prepare(record, keep_evidence=self._keep_evidence))

    def commit_soon(self, record: VerdictRecord, settled: Settled) -> Callable[[], None]:
        """Keep a verdict for the next ``flush``; ``settled`` is called once, from another thread, with its outcome.

        For one thread that waits for no commit itself. Returns what gives up on it; a record that the writer took is written all
        the same. ``ValueError`` for what no database holds.
        """
        self._sealer.of(chain_head.name)
        return self._owned.here().writer.commit_soon(prepare(record, keep_evidence=self._keep_evidence), settled)

    def flush(self) -> None:
        """Have the verdicts of ``commit_soon`` written, in one transaction. ``CannotDecide('service.store')`` from a closed store."""
        self._owned.here().writer.flush()

    @property
    def is_local(self) -> bool:
        """Tell whether reading never waits for a network or another machine."""
        return self._owned.is_local

    def rehearse(self, record: VerdictRecord) -> None:
        """Do in a transaction of its own what ``commit_verdict`` does, and roll it back; raises what that would raise."""
        self._owned.here().writer.rehearse(prepare(record))

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
            row = connection.execute(_EVIDENCE, {"of_digest": digest}).one_or_none()
            if row is None:
                return None
            body, packed = row

            def part_of(shared: bytes) -> bytes | None:
                kept = connection.execute(_PART, {"of_digest": shared}).scalar_one_or_none()
                return None if kept is None else bytes(kept)

            try:
                return bytes(body) if packed is None else unpack(bytes(body), part_of)
            except ValueError:
                return None

    def verify_chain(self) -> CommittedRecord:
        """Walk all records that were there at the start; raises ``EvidenceRejected('service.record.chain')``.

        Also checked: that the last one is where the head says that the chain ends. Not checked: that records *and* head
        were not cut back together; who wants to know keeps an older head elsewhere. The head's seal is checked where there is a key.
        """
        with self._database.read() as connection:
            seq, digest = self._checked_head(connection) if self.has_key else connection.execute(_HEAD).one()
        last = verify_links(self._walk(int(seq)))
        if last != CommittedRecord(seq, bytes(digest)):
            raise EvidenceRejected(
                ServiceId.RECORD_CHAIN, mismatch("end of the chain", last, CommittedRecord(seq, bytes(digest)))
            )
        return last

    def expect_record(self, expected: CommittedRecord) -> None:
        """Raise ``EvidenceRejected('service.record.chain')`` unless the record of that number has that digest."""
        found = self.record(expected.seq) if expected.seq else None
        digest = GENESIS.digest if not expected.seq else b"" if found is None else found.digest
        if digest != expected.digest:
            got = digest.hex() or "no such record"
            raise EvidenceRejected(
                ServiceId.RECORD_CHAIN, mismatch(f"record {expected.seq}: digest", got, expected.digest.hex())
            )

    def backup(self, path: Path) -> Backup:
        """Write all of the store, as it is at one moment, into a new file (``backup``)."""
        return write_backup(self._database, path)

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

    def high_water(self, issuer: str) -> int | None:
        """Return an issuer's mark; ``None`` where none was ever raised."""
        with self._database.read() as connection:
            seen = self._mark_of(connection, issuer)
        return None if seen is None else int.from_bytes(seen, "big")

    def _mark_of(self, connection: Connection, issuer: str) -> bytes | None:
        row = connection.execute(_MARK, {"of_issuer": issuer}).one_or_none()
        if row is None:
            return None
        number = bytes(row.number)
        self._sealer.of(high_water.name).check(row.seal, issuer, issuer, number)
        return number

    def raise_high_water(self, issuer: str, number: int) -> bool:
        """Raise an issuer's mark; false when ``number`` (0 to 2^256 - 1) is below it. Only a higher number writes."""
        wanted = number.to_bytes(_MARK_SIZE, "big")
        # Marks never fall, so whatever is read here still holds as a lower bound.
        with self._database.read() as connection:
            seen = self._mark_of(connection, issuer)
        if seen is not None and seen >= wanted:
            return seen == wanted
        seal = self._sealer.of(high_water.name).seal(issuer, wanted)
        with self._database.write() as connection:
            connection.execute(_RAISE_MARK, {"issuer": issuer, "number": wanted, "seal": seal})
            return self._mark_of(connection, issuer) == wanted

    def acquire_lease(self, name: str, holder: str, life_ms: int) -> bool:
        """Take or renew a lease for ``life_ms`` milliseconds by the store's clock; false while another holds it."""
        if not 0 < life_ms <= LEASE_MAX_MS:
            raise ValueError(f"life_ms: got {life_ms}, want 1 to {LEASE_MAX_MS}")
        with self._database.write() as connection:
            taken = connection.execute(_TAKE_LEASE, {"name": name, "holder": holder, "life_ms": life_ms})
            return taken.rowcount == 1

    def release_lease(self, name: str, holder: str) -> bool:
        """Give a lease back, so that another may take it at once; false where it is another's."""
        mine = delete(leases).where(leases.c.name == name, leases.c.holder == holder)
        with self._database.write() as connection:
            return connection.execute(mine).rowcount == 1

    def lease(self, name: str) -> Lease | None:
        """Return a lease as it stands, also one that has run out; ``None`` for one that nobody ever took."""
        with self._database.read() as connection:
            row = connection.execute(_LEASE, {"of_name": name}).one_or_none()
        return None if row is None else Lease(str(row[0]), int(row[1]), int(row[2]))

    def purge(self, *, now_ms: int, evidence_before_ms: int) -> int:
        """Delete spent nonces past expiry and twice the skew, dead tickets, and old evidence; returns how many rows went.

        Dead is what is dead by the store's clock *and* by ``now_ms``, which the caller believes. Evidence goes when it was last
        seen before ``evidence_before_ms``. Records stay.
        """
        now_ms = self._raise_floor(now_ms)
        gone = self._delete_some(spent_nonces, spent_nonces.c.dead_ms < now_ms)
        with self._database.write() as connection:
            gone += purge_tickets(connection, now_ms - 2 * self._skew_ms)
        gone += self._delete_some(evidence, evidence.c.kept_ms < evidence_before_ms)
        gone += self._delete_some(evidence_parts, evidence_parts.c.kept_ms < evidence_before_ms - PART_SLACK_MS)
        self._owned.here().writer.forget_shared()
        return gone

    def _delete_some(self, of: Table, condition: ColumnElement[bool]) -> int:
        """Delete rows by portions, each a transaction of its own: logins wait for one portion, not for all of a month."""
        (key,) = of.primary_key
        portion = delete(of).where(key.in_(select(key).where(condition).limit(_PURGE_CHUNK)))
        gone = 0
        while True:
            with self._database.write() as connection:
                went = connection.execute(portion).rowcount
            gone += went
            if went < _PURGE_CHUNK:
                return gone

    def _raise_floor(self, now_ms: int) -> int:
        """Keep that spent nonces are gone up to now: whatever the clocks say later, none of that time is taken again. Returns now.

        Now is the earlier of the store's clock and ``now_ms``.
        """
        with self._database.write() as connection:
            now_ms = min(now_ms, int(connection.execute(select(StoreClock())).scalar_one()))
            head = self._lock_head(connection)
            if now_ms > head.floor_ms:
                self._write_head(connection, head, now_ms)
        return now_ms

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
