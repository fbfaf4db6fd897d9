"""A store of the first schema, filled by SQL as the program of 596a58d did."""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any

from sqlalchemy import Connection, column, insert, table, text

from tests.support.verdicts import make_verdict
from verifier.adapters.sql.engine import Database, prepare_file, read_url
from verifier.adapters.sql.records import COLUMNS, GENESIS, record_digest
from verifier.adapters.sql.schema import MIGRATIONS
from verifier.adapters.sql.upgrade import upgrade
from verifier.core.ports import EnrolledAk, StoredRecord
from verifier.formats.encoding import canonical, sha256

AK = EnrolledAk(
    "default", b"\x00\x0b" + b"\x07" * 32, b"public", b"\x08" * 32, b"\x00\x0b" + b"\x09" * 32, "private", 1
)
TICKET = b"\x0a" * 32
EK = b"\x0e" * 32
EVIDENCE = b'{"scheme":"sev-snp"}'
ROWS = {
    "tpm_eks": "INSERT INTO tpm_eks VALUES ('default', :ek)",
    "tpm_tickets": "INSERT INTO tpm_tickets VALUES ('default', :ticket, 4000000000000, NULL)",
    "tpm_aks": "INSERT INTO tpm_aks VALUES (:tenant, :ak_name, :ak_public, :ek_public_digest, :ek_name, :root, :enrolled_at_ms)",
    "trust_documents": "INSERT INTO trust_documents VALUES ('workload', 'default', 'pay', 1, 'body')",
    "high_water": "INSERT INTO high_water VALUES ('issuer', :number)",
    "state": "INSERT INTO state VALUES ('kind', 0, 'production')",
    "evidence": "INSERT INTO evidence VALUES (:digest, :body, 1)",
    "spent_nonces": "INSERT INTO spent_nonces VALUES (:nonce, 4000000000000)",
}


def _make_records() -> list[StoredRecord]:
    """Records as the first program linked them: the chain's form has not changed."""
    records: list[StoredRecord] = []
    last = GENESIS
    for _ in range(3):
        verdict = make_verdict()
        values: dict[str, Any] = {
            field.name: getattr(verdict, field.name, b"") for field in dataclasses.fields(StoredRecord)
        }
        values |= {
            "seq": last.seq + 1, "prev": last.digest, "digest": b"", "nonce_hash": sha256(verdict.nonce),
            "findings": canonical([dict(finding) for finding in verdict.findings]).decode(), "evidence_digest": sha256(EVIDENCE),
        }  # fmt: skip
        open_end = StoredRecord(**values)
        record = dataclasses.replace(open_end, digest=record_digest(open_end))
        records.append(record)
        last = dataclasses.replace(last, seq=record.seq, digest=record.digest)
    return records


def make_old_store(url: str, kind: str = "production") -> list[StoredRecord]:
    """Make a store of the first schema with a row of every kind; returns its records."""
    parsed = read_url(url)
    prepare_file(parsed)
    assert upgrade(parsed, MIGRATIONS, "r0001") == "r0001"
    records = _make_records()
    database = Database(parsed)
    with database.write() as connection:
        _fill(connection, records)
        connection.execute(text("UPDATE state SET word = :kind WHERE name = 'kind'"), {"kind": kind})
    database.close()
    return records


def _fill(connection: Connection, records: list[StoredRecord]) -> None:
    values = {
        "ek": EK, "ticket": TICKET, "number": (7).to_bytes(32, "big"), "nonce": secrets.token_bytes(32),
        "digest": sha256(EVIDENCE), "body": EVIDENCE, **{f.name: getattr(AK, f.name) for f in dataclasses.fields(AK)},
    }  # fmt: skip
    for statement in ROWS.values():
        connection.execute(text(statement), values)
    connection.execute(text("UPDATE state SET word = 'digest' WHERE name = 'trust'"))
    of_then = table("records", *(column(name) for name in COLUMNS))
    connection.execute(insert(of_then), [dataclasses.asdict(record) for record in records])
    head = text("UPDATE chain_head SET seq = :seq, digest = :digest, latest_ms = :now_ms")
    connection.execute(head, dataclasses.asdict(records[-1]))
