"""Fill, purge and verify a store with the ``verifier`` that this interpreter imports, and print figures as JSON.

Run by each build's own interpreter, so it uses what every build has. Records are of one machine's form: an SNP report whose signature,
report data and report id are new each time, two certificates of its chip, thirteen findings that stay the same.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import resource
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import VerdictRecord

_THREADS = 16
_CHIPS = 20
_RULES = (
    "policy.debug", "policy.migrate-ma", "policy.unknown-bits", "migration-agent", "chip-id.masked", "signing-key.kind",
    "tcb.minimum.reported", "tcb.minimum.launch", "tcb.minimum.committed", "firmware-version", "measurement", "vmpl", "host-data",
)  # fmt: skip
_TCB = {"Milan": {"bl": 4, "snp": 24, "tee": 0, "ucode": 219}}


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _certificate(source: random.Random, size: int) -> str:
    # A certificate's names and tags deflate, its keys and signatures do not.
    return _b64(source.randbytes(size * 2 // 3) + b"\x30\x82\x01\x0a\x55\x04\x03\x13" * (size // 24))


class Machines:
    """Verdicts as the service makes them, of some chips in turn."""

    def __init__(self) -> None:
        source = random.Random(11)  # noqa: S311 - sizes are measured, not secrets
        self._source = source
        self._fixed = source.randbytes(300)
        self._chips = [(_certificate(source, 1231), _certificate(source, 1485)) for _ in range(_CHIPS)]
        seen = [
            {"expected": _TCB, "identity": "chips@1", "ok": True, "rule": f"sev-snp.{rule}", "seen": _TCB}
            for rule in _RULES
        ]
        self._findings = json.dumps(seen, sort_keys=True, separators=(",", ":"))

    def verdict(self, number: int) -> VerdictRecord:
        """Make one."""
        vcek, ask = self._chips[number % _CHIPS]
        new = self._source.randbytes(64 + 32 + 96)
        report = self._fixed + new[:96] + bytes(692) + new[96:]
        evidence = {
            "version": 1,
            "scheme": "sev-snp",
            "parts": {"report": _b64(report)},
            "endorsements": {"vcek": vcek, "ask": ask},
        }
        now_ms = time.time_ns() // 1_000_000
        values: dict[str, Any] = {
            "tenant": "default", "workload_uuid": "af1cfee6-a2fd-485e-88d5-a9edf7af92e9", "workload": "payments", "scheme": "sev-snp",
            "outcome": "accepted", "check_id": "", "nonce": self._source.randbytes(64), "nonce_expires_ms": now_ms + 120_000,
            "now_ms": now_ms, "policy": "strict@3", "policy_digest": self._fixed[:32], "instance": f"i:{self._fixed[:32].hex()}",
            "measurement": self._fixed[:48].hex(), "jti": str(uuid.UUID(bytes=self._source.randbytes(16))),
            "claims_digest": self._source.randbytes(32), "token_expires_ms": now_ms + 60_000, "findings": self._findings,
            "evidence": json.dumps(evidence, separators=(",", ":")).encode(), "source": "192.0.2.7",
        }  # fmt: skip
        return VerdictRecord(**values)


def opened(url: str) -> SqlStore:
    """Open a store; builds that seal get a key of this benchmark's own."""
    try:
        from verifier.adapters.sql.seals import Sealer
    except ImportError:
        return open_store(url)  # a build of before
    return open_store(url, Sealer(lambda: bytes(32)))


def _insert(store: SqlStore, count: int) -> None:
    machines, lock = Machines(), threading.Lock()
    numbers = iter(range(count))

    def verdicts() -> Iterator[VerdictRecord]:
        while True:
            with lock:
                number = next(numbers, None)
                if number is None:
                    return
                verdict = machines.verdict(number)
            yield verdict

    # Builds of before are told that a verdict may come, and group by that.
    expecting = getattr(store, "expecting", contextlib.nullcontext)

    def commit() -> None:
        for verdict in verdicts():
            with expecting():
                store.commit_verdict(verdict)

    threads = [threading.Thread(target=commit) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _size(store: SqlStore) -> int:
    with store._database.read() as connection:  # noqa: SLF001 - what is measured is below the store's methods
        if connection.dialect.name == "sqlite":
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return int(pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one())
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure ``URL ROWS``."""
    url, rows = sys.argv[1], int(sys.argv[2])
    store = opened(url)
    empty = _size(store)
    figures: dict[str, float] = {}

    def took(name: str, begin: tuple[float, float]) -> None:
        figures[f"{name}_s"] = time.perf_counter() - begin[0]
        figures[f"{name}_cpu_us"] = (_cpu_s() - begin[1]) / rows * 1e6

    begin = time.perf_counter(), _cpu_s()
    _insert(store, rows)
    took("insert", begin)
    figures["bytes"] = (_size(store) - empty) / rows
    begin = time.perf_counter(), _cpu_s()
    if store.verify_chain().seq != rows:
        raise SystemExit("records are missing")
    took("verify", begin)
    begin = time.perf_counter(), _cpu_s()
    store.purge(now_ms=1 << 60, evidence_before_ms=1 << 60)
    took("purge", begin)
    store.close()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
