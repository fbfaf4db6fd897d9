"""Seals on rows that decide, findings and large parts of evidence kept once, what was done to the store.

Rows that are there stay as they are, and readable. They have no seal yet: who opens the store with the key file first seals them.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None

_SEALED = ("chain_head", "state", "tpm_eks", "tpm_tickets", "tpm_aks", "trust_documents", "high_water")


def _bytes(name: str, *, key: bool = False, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, primary_key=key, nullable=nullable)


def _number(name: str, *, key: bool = False, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Add columns and tables; no row is rewritten."""
    for table in _SEALED:
        op.add_column(table, _bytes("seal", nullable=True))
    op.add_column("chain_head", sa.Column("floor_ms", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("records", _bytes("findings_digest", nullable=True))
    op.add_column("evidence", _number("packed", nullable=True))
    op.create_table("findings", _bytes("digest", key=True), _bytes("body"))
    op.create_table("evidence_parts", _bytes("digest", key=True), _bytes("body"), _number("kept_ms"))
    op.create_index("evidence_parts_kept", "evidence_parts", ["kept_ms"])
    op.create_table(
        "store_events",
        _number("seq", key=True),
        _number("at_ms"),
        sa.Column("what", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        _bytes("seal", nullable=True),
    )
    _fence()
    state = sa.table("standing", sa.column("name"), sa.column("number"), sa.column("word"))
    for name in ("seals", "changes", "restored"):
        op.execute(sa.insert(state).values(name=name, number=0, word=""))


def _fence() -> None:
    """Give other names to what programs of r0001 read and write with each request.

    One that still runs beside this store (a replica) can then decide nothing. It would write rows without seals, and the new
    programs would refuse them.
    """
    op.rename_table("state", "standing")
    op.execute("ALTER TABLE chain_head RENAME COLUMN digest TO last_digest")
