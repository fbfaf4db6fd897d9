"""The first tables: records in a chain, spent nonces, evidence, TPMs, trust documents, marks, leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0001"
down_revision = None
branch_labels = None
depends_on = None

_RECORD_TEXTS = ("tenant", "workload_uuid", "workload", "scheme", "outcome", "check_id")


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _bytes(name: str, *, key: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary, primary_key=key, nullable=False)


def _number(name: str, *, key: bool = False, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=nullable, autoincrement=False)


def upgrade() -> None:
    """Make all tables and the rows that are always there."""
    _create_records()
    _create_tpm()
    _create_rest()
    chain_head = sa.table("chain_head", sa.column("id"), sa.column("seq"), sa.column("digest"), sa.column("latest_ms"))
    op.execute(sa.insert(chain_head).values(id=1, seq=0, digest=bytes(32), latest_ms=0))
    # A store that starts empty knows no spent nonce: an epoch taken from the clock voids what an older store handed out.
    steps_of_20_ms = {
        "sqlite": "CAST((julianday('now') - 2440587.5) * 4320000.0 AS INTEGER)",
        "postgresql": "CAST(floor(extract(epoch FROM clock_timestamp()) * 50) AS BIGINT)",
    }[op.get_bind().dialect.name]
    state = sa.table("state", sa.column("name"), sa.column("number"), sa.column("word"))
    op.execute(sa.insert(state).values(name="epoch", number=sa.literal_column(steps_of_20_ms), word=""))
    op.execute(sa.insert(state).values(name="trust", number=0, word=""))
    op.execute(sa.insert(state).values(name="ping", number=0, word=""))


def _create_records() -> None:
    op.create_table(
        "records",
        _number("seq", key=True),
        _bytes("prev"),
        _bytes("digest"),
        *(_text(name) for name in _RECORD_TEXTS),
        _bytes("nonce_hash"),
        _number("nonce_expires_ms"),
        _number("now_ms"),
        _text("policy"),
        _bytes("policy_digest"),
        _text("instance"),
        _text("measurement"),
        _text("jti"),
        _bytes("claims_digest"),
        _number("token_expires_ms"),
        _text("findings"),
        _bytes("evidence_digest"),
        _text("source"),
    )
    named = sa.text("jti <> ''")
    op.create_index("records_jti", "records", ["jti"], unique=True, sqlite_where=named, postgresql_where=named)
    op.create_table("chain_head", _number("id", key=True), _number("seq"), _bytes("digest"), _number("latest_ms"))
    op.create_table("spent_nonces", _bytes("nonce_hash", key=True), _number("dead_ms"), sqlite_with_rowid=False)
    op.create_index("spent_nonces_dead", "spent_nonces", ["dead_ms"])
    op.create_table("evidence", _bytes("digest", key=True), _bytes("body"), _number("kept_ms"))
    op.create_index("evidence_kept", "evidence", ["kept_ms"])


def _create_tpm() -> None:
    op.create_table("tpm_eks", _text("tenant", key=True), _bytes("ek_digest", key=True), sqlite_with_rowid=False)
    op.create_table(
        "tpm_tickets",
        _text("tenant", key=True),
        _bytes("ticket_hash", key=True),
        _number("expires_ms"),
        _number("spent_ms", nullable=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "tpm_aks",
        _text("tenant", key=True),
        _bytes("ak_name", key=True),
        _bytes("ak_public"),
        _bytes("ek_public_digest"),
        _bytes("ek_name"),
        _text("root"),
        _number("enrolled_at_ms"),
        sqlite_with_rowid=False,
    )


def _create_rest() -> None:
    op.create_table("state", _text("name", key=True), _number("number"), _text("word"), sqlite_with_rowid=False)
    op.create_table(
        "trust_documents",
        _text("kind", key=True),
        _text("tenant", key=True),
        _text("name", key=True),
        _number("version", key=True),
        _text("body"),
        sqlite_with_rowid=False,
    )
    op.create_table("high_water", _text("issuer", key=True), _bytes("number"), sqlite_with_rowid=False)
    op.create_table("leases", _text("name", key=True), _text("holder"), _number("expires_ms"), sqlite_with_rowid=False)
