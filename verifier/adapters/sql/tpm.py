"""TPM enrolment's tables: EK lists, single-use tickets (hashes only), enrolled AKs. One function a question, on a connection."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert as upsert  # ON CONFLICT: SQLite's compiler writes it alike

from verifier.adapters.sql.models import StoreClock, tpm_aks, tpm_eks, tpm_tickets
from verifier.core.errors import EvidenceRejected
from verifier.core.ports import EnrolledAk

TICKET_CHECK = "tpm2.enrolment.ticket"
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


def find_ak(connection: Connection, tenant: str, ak_name: bytes) -> EnrolledAk | None:
    """Look one AK up by its Name."""
    row = connection.execute(_FIND_AK, {"tenant": tenant, "ak_name": ak_name}).one_or_none()
    return None if row is None else EnrolledAk(*row)


def is_ek_listed(connection: Connection, tenant: str, ek_digest: bytes) -> bool:
    """Tell whether the EK is on the list."""
    return bool(connection.execute(_IS_EK_LISTED, {"tenant": tenant, "ek_digest": ek_digest}).scalar_one())


def add_eks(connection: Connection, tenant: str, ek_digests: Iterable[bytes]) -> None:
    """Add to the list what is not on it yet."""
    rows = [{"tenant": tenant, "ek_digest": _hash("ek_digest", digest)} for digest in dict.fromkeys(ek_digests)]
    if rows:
        connection.execute(_ADD_EKS, rows)


def replace_eks(connection: Connection, tenant: str, ek_digests: Iterable[bytes]) -> None:
    """Make the list exactly this one."""
    connection.execute(delete(tpm_eks).where(tpm_eks.c.tenant == tenant))
    add_eks(connection, tenant, ek_digests)


def ticket_is_open(connection: Connection, tenant: str, ticket_hash: bytes) -> bool:
    """Tell whether a ticket is there, unspent, and not expired by the store's clock."""
    return bool(connection.execute(_IS_TICKET_OPEN, {"of_tenant": tenant, "of_hash": ticket_hash}).scalar_one())


def add_ticket(connection: Connection, tenant: str, ticket_hash: bytes, expires_ms: int) -> None:
    """Open a ticket. One that is there stays as it is: a spent one is never opened again."""
    row = {"tenant": tenant, "ticket_hash": _hash("ticket_hash", ticket_hash), "expires_ms": expires_ms}
    connection.execute(upsert(tpm_tickets).on_conflict_do_nothing(), row)


def enrol_ak(connection: Connection, ak: EnrolledAk, ticket_hash: bytes | None) -> None:
    """Write the AK, its ticket spent in the same transaction. A newer enrolment of the same Name takes the older one's place."""
    if ticket_hash is not None:
        spent = connection.execute(_SPEND_TICKET, {"of_tenant": ak.tenant, "of_hash": ticket_hash})
        if spent.rowcount != 1:
            raise EvidenceRejected(TICKET_CHECK, "ticket: got one that is unknown, spent or expired, want an open one")
    connection.execute(_WRITE_AK, {column.name: getattr(ak, column.name) for column in tpm_aks.c})


def purge_tickets(connection: Connection, dead_ms: int) -> int:
    """Delete tickets that expired before ``dead_ms``, spent or not."""
    return connection.execute(delete(tpm_tickets).where(tpm_tickets.c.expires_ms < dead_ms)).rowcount


def _hash(name: str, value: bytes) -> bytes:
    if len(value) != _HASH_SIZE:
        raise ValueError(f"{name}: got {len(value)} bytes, want {_HASH_SIZE}")
    return value
