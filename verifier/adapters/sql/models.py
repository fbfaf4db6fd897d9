"""The tables, as the newest migration leaves them (a test compares the two), and the store's clock as an expression.

Times are Unix milliseconds, digests raw bytes, names text. Only types that SQLite and PostgreSQL share.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData()


def _seal() -> Column[bytes]:
    """Return the column of a row's seal; empty before the store is sealed (``seals``)."""
    return Column("seal", LargeBinary, nullable=True)


records = Table(
    "records",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("prev", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("workload_uuid", Text, nullable=False),
    Column("workload", Text, nullable=False),
    Column("scheme", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("check_id", Text, nullable=False),
    Column("nonce_hash", LargeBinary, nullable=False),
    Column("nonce_expires_ms", BigInteger, nullable=False),
    Column("now_ms", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("policy_digest", LargeBinary, nullable=False),
    Column("instance", Text, nullable=False),
    Column("measurement", Text, nullable=False),
    Column("jti", Text, nullable=False),
    Column("claims_digest", LargeBinary, nullable=False),
    Column("token_expires_ms", BigInteger, nullable=False),
    # Records of older programs hold their findings; of newer ones ``findings_digest`` names a row of ``findings``, and this is "".
    Column("findings", Text, nullable=False),
    Column("evidence_digest", LargeBinary, nullable=False),
    Column("source", Text, nullable=False),
    Column("findings_digest", LargeBinary, nullable=True),
    # A refusal mints nothing and has no jti; every token has one of its own.
    Index(
        "records_jti",
        "jti",
        unique=True,
        sqlite_where=text("jti <> ''"),
        postgresql_where=text("jti <> ''"),
    ),
)

# One row: where the chain ends. An appending transaction locks it. It keeps the newest time any record had, and up to which
# time spent nonces may have been purged (``floor_ms``).
chain_head = Table(
    "chain_head",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_digest", LargeBinary, nullable=False),
    Column("latest_ms", BigInteger, nullable=False),
    Column("floor_ms", BigInteger, nullable=False, server_default="0"),
    _seal(),
)

# Findings of records, once each: machines of one kind give the same ones. ``body`` is their RFC 8785 form, deflated.
findings = Table(
    "findings",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

spent_nonces = Table(
    "spent_nonces",
    metadata,
    Column("nonce_hash", LargeBinary, primary_key=True),
    Column("dead_ms", BigInteger, nullable=False),
    Index("spent_nonces_dead", "dead_ms"),
    sqlite_with_rowid=False,
)

evidence = Table(
    "evidence",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("kept_ms", BigInteger, nullable=False),
    # 1: ``body`` is as ``packing`` writes it; none: as it came.
    Column("packed", BigInteger, nullable=True),
    Index("evidence_kept", "kept_ms"),
)

# What many envelopes have in common: certificates, logs.
evidence_parts = Table(
    "evidence_parts",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    Column("kept_ms", BigInteger, nullable=False),
    Index("evidence_parts_kept", "kept_ms"),
)

# Numbers and words of which there is one each: epoch, trust (digest of the trust documents), kind (of process), changes (how
# often rows that decide were changed), seals (1: this store is sealed). Without a seal: ping, restored (1: no epoch raised since).
state = Table(
    "standing",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("word", Text, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

tpm_eks = Table(
    "tpm_eks",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("ek_digest", LargeBinary, primary_key=True),
    _seal(),
    sqlite_with_rowid=False,
)

tpm_tickets = Table(
    "tpm_tickets",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("ticket_hash", LargeBinary, primary_key=True),
    Column("expires_ms", BigInteger, nullable=False),
    Column("spent_ms", BigInteger, nullable=True),
    _seal(),
    sqlite_with_rowid=False,
)

tpm_aks = Table(
    "tpm_aks",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("ak_name", LargeBinary, primary_key=True),
    Column("ak_public", LargeBinary, nullable=False),
    Column("ek_public_digest", LargeBinary, nullable=False),
    Column("ek_name", LargeBinary, nullable=False),
    Column("root", Text, nullable=False),
    Column("enrolled_at_ms", BigInteger, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

trust_documents = Table(
    "trust_documents",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

# ``number`` is 32 bytes, big-endian: a CRL number has up to 20 octets (RFC 5280, section 5.2.3); bytes of one length
# compare like the numbers that they spell.
high_water = Table(
    "high_water",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("number", LargeBinary, nullable=False),
    _seal(),
    sqlite_with_rowid=False,
)

# What was done to the store, for its operator: sealed, restored, epoch raised. Never changed.
store_events = Table(
    "store_events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", Text, nullable=False),
    _seal(),
)

leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

# SQLite's ``unixepoch('subsec')`` came with 3.42; Julian days carry milliseconds in every version (a double near 2.46e6
# is good to 40 microseconds).
CLOCK_SQL = {
    "sqlite": "CAST(round((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER)",
    "postgresql": "CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)",
}


class StoreClock(FunctionElement[int]):
    """The store's own clock, Unix milliseconds, read when the statement runs (not when its transaction began)."""

    name = "store_clock"
    inherit_cache = True
    type = BigInteger()


@compiles(StoreClock)
def _compile_clock(_element: StoreClock, compiler: Any, **_kw: object) -> str:
    return CLOCK_SQL[compiler.dialect.name]
