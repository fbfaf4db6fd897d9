"""Verdict records for tests of the store: everything set, nonce and jti fresh, the time the machine's."""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import Any

from verifier.core.ports import VerdictRecord


def make_verdict(**changes: Any) -> VerdictRecord:
    """Make a verdict that any store takes, but for what is changed."""
    now_ms = int(changes.get("now_ms", time.time_ns() // 1_000_000))
    verdict = VerdictRecord(
        tenant="default",
        workload_uuid="0b6d3a52-6f0c-4d0e-9d2b-0d4f6f3f1c11",
        workload="payments",
        scheme="sev-snp",
        outcome="accepted",
        check_id="",
        nonce=secrets.token_bytes(64),
        nonce_expires_ms=now_ms + 120_000,
        now_ms=now_ms,
        policy="strict@3",
        policy_digest=b"\x01" * 32,
        instance="i:" + "ab" * 32,
        measurement="cd" * 48,
        jti=secrets.token_hex(16),
        claims_digest=b"\x02" * 32,
        token_expires_ms=now_ms + 60_000,
        findings=({"rule": "sev-snp.rule.debug", "ok": True, "seen": {"svn": 3}, "expected": None},),
        evidence=secrets.token_bytes(600),
        source="192.0.2.7",
    )
    return dataclasses.replace(verdict, **changes)
