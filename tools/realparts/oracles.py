"""Other people's verifiers, built from Go's module index: oracles of the differential tests."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tools.realparts.cache import build_once
from tools.realparts.golang import GoPart, build_go

_NAME = "oracles"


def oracles() -> Path:
    """Return the program that answers for go-sev-guest, go-tdx-guest, go-tpm-tools and go-eventlog (tools/oracles)."""
    part = GoPart(_NAME, "the oracles", "", ".", "1 min")
    digest = hashlib.sha256(b"".join((part.module / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")))
    versioned = GoPart(_NAME, part.title, digest.hexdigest()[:16], part.package, part.minutes)
    return build_once(_NAME, versioned.version, _NAME, lambda fresh, _final: build_go(versioned, fresh / _NAME))
