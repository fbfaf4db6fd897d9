"""What an event log says, in the notation of the cases."""

from __future__ import annotations

from collections import Counter
from typing import Any

from verifier.tee.tcg.data import secure_boot_claim
from verifier.tee.tcg.layout import HASHES, EventLog, type_name
from verifier.tee.tcg.replay import extended


def log_claims(log: EventLog, *, secure_boot_register: int = 7) -> dict[str, Any]:
    """Say what a log holds, in the notation of the cases. What the bytes say, not what may be trusted."""
    types = Counter(type_name(e.type) for e in log.events)
    return {
        "events": len(log.events),
        "algorithms": [HASHES[a].name if a in HASHES else f"0x{a:04x}" for a, _ in log.algorithms],
        "spec_id": log.spec_id,
        "event_types": dict(sorted(types.items())),
        "secure_boot": secure_boot_claim(log, secure_boot_register),
        "indexes": sorted({e.register for e in extended(log)}),
        "bytes_used": log.bytes_used,
    }
