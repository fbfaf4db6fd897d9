"""Packing: whatever came, the same bytes come back; what repeats is kept once."""

from __future__ import annotations

import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.verdicts import make_verdict
from verifier.adapters.sql.packing import Packed, pack, unpack
from verifier.adapters.sql.store import SqlStore
from verifier.formats.encoding import b64url, sha256

CERTIFICATE, REPORT = secrets.token_bytes(1300), secrets.token_bytes(1184)
_DAY_MS = 86_400_000


def _envelope(report: bytes = REPORT, certificate: bytes = CERTIFICATE, log: bytes = b"") -> bytes:
    parts = {"report": b64url(report), **({"log": b64url(log)} if log else {})}
    return json.dumps({"parts": parts, "endorsements": {"vcek": b64url(certificate)}}, separators=(",", ":")).encode()


def _unpacked(packed: Packed) -> bytes | None:
    return unpack(packed.body, {part.digest: part.body for part in packed.parts}.get)


@given(
    st.binary(max_size=2000)
    | st.lists(
        st.sampled_from(
            [b'"parts":', b'"endorsements":', b"A" * 300, b"B" * 301, b"=" * 3, b"_" * 257, b"-" * 9000, b'"']
        )
    ).map(b"".join)
)
def test_any_bytes_come_back(data: bytes) -> None:
    assert _unpacked(pack(data)) == data


def test_an_envelope_is_its_bytes_without_base64_and_its_endorsements_are_apart() -> None:
    packed = pack(_envelope())
    assert _unpacked(packed) == _envelope()
    assert len(packed.body) < len(REPORT) + 130
    assert [part.digest for part in packed.parts] == [sha256(CERTIFICATE)]


def test_base64url_with_spare_bits_set_stays_text() -> None:
    text = b"A" * 300 + b"B"  # 301 characters: no base64url has that length
    assert pack(text).parts == ()
    assert _unpacked(pack(text)) == text


def test_a_long_part_is_shared_and_a_short_one_is_not() -> None:
    assert len(pack(_envelope(log=bytes(10_000))).parts) == 2
    assert len(pack(_envelope(log=bytes(5_000))).parts) == 1


def test_a_part_that_is_gone_is_told() -> None:
    assert unpack(pack(_envelope()).body, lambda _digest: None) is None


def _rows(store: SqlStore, table: str) -> int:
    with store._database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())  # noqa: S608 - constants


def test_findings_and_certificates_are_kept_once_and_evidence_comes_back_by_its_digest(store: SqlStore) -> None:
    bodies = [_envelope(secrets.token_bytes(1184)) for _ in range(5)]
    for body in bodies:
        store.commit_verdict(make_verdict(evidence=body))
    assert (_rows(store, "findings"), _rows(store, "evidence_parts"), _rows(store, "evidence")) == (1, 1, 5)
    assert [store.evidence(sha256(body)) for body in bodies] == bodies
    assert {record.findings for record in store.records_after(0, 9)} == {store.records_after(0, 1)[0].findings}
    assert store.verify_chain().seq == 5


@pytest.mark.parametrize("statement", ["DELETE FROM findings", "UPDATE findings SET body = digest"])
def test_findings_changed_by_hand_break_the_chain(store: SqlStore, statement: str) -> None:
    store.commit_verdict(make_verdict())
    with store._database.write() as connection:
        connection.exec_driver_sql(statement)
    with pytest.raises(Exception, match=r"service\.record\.chain"):
        store.verify_chain()


def test_a_shared_part_outlives_whatever_names_it(store: SqlStore) -> None:
    store.commit_verdict(make_verdict(evidence=_envelope()))
    with store._database.write() as connection:
        kept_ms = connection.exec_driver_sql("SELECT kept_ms FROM evidence").scalar_one()
    store.purge(now_ms=1 << 60, evidence_before_ms=kept_ms + 1)
    assert (_rows(store, "evidence"), _rows(store, "evidence_parts")) == (0, 1)
    store.purge(now_ms=1 << 60, evidence_before_ms=kept_ms + _DAY_MS + 1)
    assert _rows(store, "evidence_parts") == 0
    store.commit_verdict(make_verdict(evidence=_envelope()))  # this process has written it before, and writes it again
    assert store.evidence(sha256(_envelope())) == _envelope()
