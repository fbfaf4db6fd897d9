"""TPM enrolment's tables: EK lists, single-use tickets (hashes only), enrolled AKs. One short transaction a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.models import StoreClock, tpm_aks, tpm_eks, tpm_tickets
from verifier.adapters.sql.tables import Tables
from verifier.adapters.sql.timekeeping import KEPT
from verifier.core.ports import EnrolledAk
from verifier.core.settings import SKEW_MS
from verifier.formats.errors import EvidenceRejected
from verifier.tee.tpm2.ids import EnrolmentId

_HASH_SIZE = 32

_AK = (tpm_aks.c.tenant == bindparam("tenant")) & (tpm_aks.c.ak_name == bindparam("ak_name"))
_FIND_AK = select(tpm_aks).where(_AK)
_EK = select(tpm_eks).where(tpm_eks.c.tenant == bindparam("tenant"), tpm_eks.c.ek_digest == bindparam("ek_digest"))
_EK_LOCKED = _EK.with_for_update(read=True)
_ADD_EKS = upsert(tpm_eks)
_ADD_EKS = _ADD_EKS.on_conflict_do_update(
    index_elements=[tpm_eks.c.tenant, tpm_eks.c.ek_digest], set_={"seal": _ADD_EKS.excluded.seal}
)
_OF_TICKET = (tpm_tickets.c.tenant == bindparam("of_tenant")) & (tpm_tickets.c.ticket_hash == bindparam("of_hash"))
# With the store's time, and the time that was believed last: a clock that was put back opens no ticket again.
_TICKET = select(tpm_tickets, StoreClock(), func.coalesce(KEPT.scalar_subquery(), 0)).where(_OF_TICKET)
_TICKET_LOCKED = _TICKET.with_for_update(of=tpm_tickets)
_SPEND_TICKET = update(tpm_tickets).where(_OF_TICKET)
_WRITE_AK = upsert(tpm_aks)
_WRITE_AK = _WRITE_AK.on_conflict_do_update(
    index_elements=[tpm_aks.c.tenant, tpm_aks.c.ak_name],
    set_={column.name: _WRITE_AK.excluded[column.name] for column in tpm_aks.c if not column.primary_key},
)


def purge_tickets(connection: Connection, dead_ms: int) -> int:
    """Delete tickets that expired before ``dead_ms``, spent or not."""
    return connection.execute(delete(tpm_tickets).where(tpm_tickets.c.expires_ms < dead_ms)).rowcount


def _hash(name: str, value: bytes) -> bytes:
    if len(value) != _HASH_SIZE:
        raise ValueError(f"{name}: got {len(value)} bytes, want {_HASH_SIZE}")
    return value


class TpmTables(Tables):
    """The store's part for enrolled TPMs. Every row is sealed, and its seal is checked where it decides."""

    def find_ak(self, tenant: str, ak_name: bytes) -> EnrolledAk | None:
        """Return the enrolled attestation key of that Name."""
        with self._database.read() as connection:
            row = connection.execute(_FIND_AK, {"tenant": tenant, "ak_name": ak_name}).one_or_none()
        return None if row is None else self._checked_ak(row)

    def is_ek_listed(self, tenant: str, ek_digest: bytes) -> bool:
        """Tell whether the EK is on the tenant's list."""
        with self._database.read() as connection:
            return self._is_listed(connection, tenant, ek_digest)

    def ticket_is_open(self, tenant: str, ticket_hash: bytes) -> bool:
        """Tell whether a single-use ticket exists, is unspent, and not expired by the store's clock."""
        with self._database.read() as connection:
            return self._open_ticket(connection, tenant, ticket_hash) is not None

    def _checked_ak(self, row: Any) -> EnrolledAk:
        *values, seal = row
        plain: list[Any] = [bytes(value) if isinstance(value, memoryview) else value for value in values]
        ak = EnrolledAk(*plain)
        self._sealer.of("tpm_aks").check(seal, f"{ak.tenant} {ak.ak_name.hex()}", *values)
        return ak

    def _is_listed(self, connection: Connection, tenant: str, ek_digest: bytes, *, lock: bool = False) -> bool:
        row = connection.execute(_EK_LOCKED if lock else _EK, {"tenant": tenant, "ek_digest": ek_digest}).one_or_none()
        if row is None:
            return False
        *values, seal = row
        self._sealer.of("tpm_eks").check(seal, f"{tenant} {ek_digest.hex()}", *values)
        return True

    def _open_ticket(
        self, connection: Connection, tenant: str, ticket_hash: bytes, *, lock: bool = False
    ) -> tuple[int, int] | None:
        """Return when an open ticket ends, and the store's time; ``None`` for any other."""
        key = {"of_tenant": tenant, "of_hash": ticket_hash}
        row = connection.execute(_TICKET_LOCKED if lock else _TICKET, key).one_or_none()
        if row is None:
            return None
        *values, seal, now_ms, kept_ms = row
        self._sealer.of("tpm_tickets").check(seal, f"{tenant} {ticket_hash.hex()}", *values)
        *_, expires_ms, spent_ms = values
        is_open = spent_ms is None and expires_ms > max(now_ms, kept_ms - SKEW_MS)
        return (expires_ms, now_ms) if is_open else None

    def enrol_ak(self, ak: EnrolledAk, ticket_hash: bytes | None, *, must_be_listed: bool = False) -> None:
        """Write the AK, its ticket spent in the same transaction; ``EvidenceRejected('tpm2.enrolment.ticket')`` if it is spent.

        With ``must_be_listed`` the EK is on the tenant's list in that transaction too (``tpm2.enrolment.admission``), and who
        withdraws it meanwhile waits and then takes the AK along. Without it that is not checked: the ticket lets it in, or the
        caller has its list elsewhere. A newer enrolment of the same Name takes the older one's place.
        """
        with self._database.write() as connection:
            if must_be_listed and not self._is_listed(connection, ak.tenant, ak.ek_public_digest, lock=True):
                raise EvidenceRejected(
                    EnrolmentId.ADMISSION, f"EK {ak.ek_public_digest.hex()}: not on the tenant's list any more"
                )
            if ticket_hash is not None:
                self._spend_ticket(connection, ak.tenant, ticket_hash)
            row = {column.name: getattr(ak, column.name) for column in tpm_aks.c if column.name != "seal"}
            seal = self._sealer.of("tpm_aks").seal(*row.values())
            connection.execute(_WRITE_AK, {**row, "seal": seal})
            self._count_change(connection)

    def _spend_ticket(self, connection: Connection, tenant: str, ticket_hash: bytes) -> None:
        found = self._open_ticket(connection, tenant, ticket_hash, lock=True)
        if found is None:
            raise EvidenceRejected(
                EnrolmentId.TICKET, "ticket: got one that is unknown, spent or expired, want an open one"
            )
        expires_ms, now_ms = found
        seal = self._sealer.of("tpm_tickets").seal(tenant, ticket_hash, expires_ms, now_ms)
        key = {"of_tenant": tenant, "of_hash": ticket_hash}
        connection.execute(_SPEND_TICKET.values(spent_ms=now_ms, seal=seal), key)

    def add_eks(self, tenant: str, ek_digests: Iterable[bytes]) -> None:
        """Put EK digests on the tenant's list, those that are not on it yet."""
        seals = self._sealer.of("tpm_eks")
        rows = [
            {"tenant": tenant, "ek_digest": _hash("ek_digest", digest), "seal": seals.seal(tenant, digest)}
            for digest in dict.fromkeys(ek_digests)
        ]
        with self._database.write() as connection:
            if rows:
                connection.execute(_ADD_EKS, rows)
                self._count_change(connection)

    def add_ticket(self, tenant: str, ticket_hash: bytes, expires_ms: int) -> None:
        """Open a single-use ticket (only its hash is kept). One that is known is left as it is: spent is spent."""
        row = {"tenant": tenant, "ticket_hash": _hash("ticket_hash", ticket_hash), "expires_ms": expires_ms}
        seal = self._sealer.of("tpm_tickets").seal(tenant, ticket_hash, expires_ms, None)
        with self._database.write() as connection:
            connection.execute(upsert(tpm_tickets).on_conflict_do_nothing(), {**row, "seal": seal})
            self._count_change(connection)

    def enrolled_aks(self, tenant: str) -> Sequence[EnrolledAk]:
        """Return the tenant's enrolled AKs, the oldest enrolment first."""
        of_tenant = select(tpm_aks).where(tpm_aks.c.tenant == tenant)
        with self._database.read() as connection:
            rows = connection.execute(of_tenant.order_by(tpm_aks.c.enrolled_at_ms, tpm_aks.c.ak_name))
            return [self._checked_ak(row) for row in rows]

    def listed_eks(self, tenant: str) -> Sequence[bytes]:
        """Return the EK digests on the tenant's list."""
        of_tenant = select(tpm_eks.c.ek_digest).where(tpm_eks.c.tenant == tenant)
        with self._database.read() as connection:
            return [bytes(digest) for digest in connection.execute(of_tenant.order_by(tpm_eks.c.ek_digest)).scalars()]

    def withdraw_ak(self, tenant: str, ak_name: bytes) -> int:
        """Forget an enrolled AK; returns how many went. Its TPM may enrol again while its EK is listed."""
        its = (tpm_aks.c.tenant == tenant) & (tpm_aks.c.ak_name == ak_name)
        with self._database.write() as connection:
            gone = connection.execute(delete(tpm_aks).where(its)).rowcount
            self._count_change(connection)
            return gone

    def withdraw_ek(self, tenant: str, ek_digest: bytes) -> int:
        """Take an EK off the tenant's list and forget its AKs; returns how many rows went."""
        its_aks = (tpm_aks.c.tenant == tenant) & (tpm_aks.c.ek_public_digest == ek_digest)
        with self._database.write() as connection:
            gone = connection.execute(
                delete(tpm_eks).where(tpm_eks.c.tenant == tenant, tpm_eks.c.ek_digest == ek_digest)
            ).rowcount
            gone += connection.execute(delete(tpm_aks).where(its_aks)).rowcount
            self._count_change(connection)  # last, as everywhere: who waits for it holds the rows already
            return gone
