"""``SqlStore``: what the stores of ``verifier.core.ports`` ask for, and what commands read and change beside them.

Verdicts go through the group writer; all else is one statement or one short transaction.
A store may be made and used before a fork (``forking``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import ColumnElement, Connection, Table, bindparam, delete, select, update
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
)
from verifier.adapters.sql.packing import unpack
from verifier.adapters.sql.records import COLUMNS, GENESIS, prepare, stored, verify_links
from verifier.adapters.sql.schema import check_server, migrate
from verifier.adapters.sql.seals import Sealer, no_key
from verifier.adapters.sql.timekeeping import TimeTables
from verifier.adapters.sql.tpm import TpmTables, purge_tickets
from verifier.adapters.sql.trust_tables import TrustTables
from verifier.adapters.sql.writer import PART_SLACK_MS
from verifier.core.ids import ServiceId
from verifier.core.ports import (
    CommittedRecord,
    GiveUp,
    Lease,
    Settled,
    SteadyClock,
    StoredRecord,
    VerdictRecord,
)
from verifier.core.settings import SKEW_MS
from verifier.formats.errors import EvidenceRejected, mismatch

LEASE_MAX_MS = 60_000
_MARK_SIZE = 32
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


class SqlStore(TpmTables, TrustTables, TimeTables):
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

    def commit_soon(self, record: VerdictRecord, settled: Settled) -> GiveUp:
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
