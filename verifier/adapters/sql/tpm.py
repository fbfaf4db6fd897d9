"""TPM enrolment's tables: EK lists, single-use tickets (hashes only), enrolled AKs. One short transaction a question."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.engine import Database
from verifier.adapters.sql.models import StoreClock, tpm_aks, tpm_eks, tpm_tickets
from verifier.core.ports import EnrolledAk
from verifier.formats.errors import EvidenceRejected
from verifier.tee.tpm2.ids import EnrolmentId

_HASH_SIZE = 32

_AK = (tpm_aks.c.tenant == bindparam("tenant")) & (tpm_aks.c.ak_name == bindparam("ak_name"))
_FIND_AK = select(tpm_aks).where(_AK)
_IS_EK_LISTED = select(
    exists().where(tpm_eks.c.tenant == bindparam("tenant"), tpm_eks.c.ek_digest == bindparam("ek_digest"))
)
_ADD_EKS = upsert(tpm_eks).on_conflict_do_nothing()
_OPEN_TICKET = (
    (tpm_tickets.c.tenant == bindparam("of_tenant"))
    & (tpm_tickets.c.ticket_hash == bindparam("of_hash"))
    & tpm_tickets.c.spent_ms.is_(None)
    & (tpm_tickets.c.expires_ms > StoreClock())
)
_IS_TICKET_OPEN = select(exists().where(_OPEN_TICKET))
_SPEND_TICKET = update(tpm_tickets).where(_OPEN_TICKET).values(spent_ms=StoreClock())
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


class TpmTables:
    """The store's part for enrolled TPMs."""

    @property
    @abstractmethod
    def _database(self) -> Database:
        """This process's connections."""

    def find_ak(self, tenant: str, ak_name: bytes) -> EnrolledAk | None:
        """Return the enrolled attestation key of that Name."""
        with self._database.read() as connection:
            row = connection.execute(_FIND_AK, {"tenant": tenant, "ak_name": ak_name}).one_or_none()
        return None if row is None else EnrolledAk(*row)

    def is_ek_listed(self, tenant: str, ek_digest: bytes) -> bool:
        """Tell whether the EK is on the tenant's list."""
        with self._database.read() as connection:
            return bool(connection.execute(_IS_EK_LISTED, {"tenant": tenant, "ek_digest": ek_digest}).scalar_one())

    def ticket_is_open(self, tenant: str, ticket_hash: bytes) -> bool:
        """Tell whether a single-use ticket exists, is unspent, and not expired by the store's clock."""
        with self._database.read() as connection:
            key = {"of_tenant": tenant, "of_hash": ticket_hash}
            return bool(connection.execute(_IS_TICKET_OPEN, key).scalar_one())

    def enrol_ak(self, ak: EnrolledAk, ticket_hash: bytes | None, *, must_be_listed: bool = False) -> None:
        """Write the AK, its ticket spent in the same transaction; ``EvidenceRejected('tpm2.enrolment.ticket')`` if it is spent.

        With ``must_be_listed`` the EK is on the tenant's list in that transaction too (``tpm2.enrolment.admission``), and who
        withdraws it meanwhile waits and then takes the AK along. Without it that is not checked: the ticket lets it in, or the
        caller has its list elsewhere. A newer enrolment of the same Name takes the older one's place.
        """
        with self._database.write() as connection:
            if must_be_listed:
                listed = select(tpm_eks.c.ek_digest).where(
                    tpm_eks.c.tenant == ak.tenant, tpm_eks.c.ek_digest == ak.ek_public_digest
                )
                if connection.execute(listed.with_for_update(read=True)).one_or_none() is None:
                    raise EvidenceRejected(
                        EnrolmentId.ADMISSION, f"EK {ak.ek_public_digest.hex()}: not on the tenant's list any more"
                    )
            if ticket_hash is not None:
                spent = connection.execute(_SPEND_TICKET, {"of_tenant": ak.tenant, "of_hash": ticket_hash})
                if spent.rowcount != 1:
                    raise EvidenceRejected(
                        EnrolmentId.TICKET, "ticket: got one that is unknown, spent or expired, want an open one"
                    )
            connection.execute(_WRITE_AK, {column.name: getattr(ak, column.name) for column in tpm_aks.c})

    def add_eks(self, tenant: str, ek_digests: Iterable[bytes]) -> None:
        """Put EK digests on the tenant's list, those that are not on it yet."""
        rows = [{"tenant": tenant, "ek_digest": _hash("ek_digest", digest)} for digest in dict.fromkeys(ek_digests)]
        with self._database.write() as connection:
            if rows:
                connection.execute(_ADD_EKS, rows)

    def add_ticket(self, tenant: str, ticket_hash: bytes, expires_ms: int) -> None:
        """Open a single-use ticket (only its hash is kept). One that is known is left as it is: spent is spent."""
        row = {"tenant": tenant, "ticket_hash": _hash("ticket_hash", ticket_hash), "expires_ms": expires_ms}
        with self._database.write() as connection:
            connection.execute(upsert(tpm_tickets).on_conflict_do_nothing(), row)

    def enrolled_aks(self, tenant: str) -> Sequence[EnrolledAk]:
        """Return the tenant's enrolled AKs, the oldest enrolment first."""
        of_tenant = select(tpm_aks).where(tpm_aks.c.tenant == tenant)
        with self._database.read() as connection:
            rows = connection.execute(of_tenant.order_by(tpm_aks.c.enrolled_at_ms, tpm_aks.c.ak_name))
            return [EnrolledAk(*row) for row in rows]

    def listed_eks(self, tenant: str) -> Sequence[bytes]:
        """Return the EK digests on the tenant's list."""
        of_tenant = select(tpm_eks.c.ek_digest).where(tpm_eks.c.tenant == tenant)
        with self._database.read() as connection:
            return [bytes(digest) for digest in connection.execute(of_tenant.order_by(tpm_eks.c.ek_digest)).scalars()]

    def withdraw_ak(self, tenant: str, ak_name: bytes) -> int:
        """Forget an enrolled AK; returns how many went. Its TPM may enrol again while its EK is listed."""
        its = (tpm_aks.c.tenant == tenant) & (tpm_aks.c.ak_name == ak_name)
        with self._database.write() as connection:
            return connection.execute(delete(tpm_aks).where(its)).rowcount

    def withdraw_ek(self, tenant: str, ek_digest: bytes) -> int:
        """Take an EK off the tenant's list and forget its AKs; returns how many rows went."""
        its_aks = (tpm_aks.c.tenant == tenant) & (tpm_aks.c.ek_public_digest == ek_digest)
        with self._database.write() as connection:
            gone = connection.execute(
                delete(tpm_eks).where(tpm_eks.c.tenant == tenant, tpm_eks.c.ek_digest == ek_digest)
            ).rowcount
            return gone + connection.execute(delete(tpm_aks).where(its_aks)).rowcount
