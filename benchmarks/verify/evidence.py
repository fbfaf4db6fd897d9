"""The evidence that both sides verify: the test data of the Go module go-sev-guest, read from Go's module cache."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import go
from verifier.formats.pem import pem_blocks

PEER = Path(__file__).resolve().parents[1] / "peers" / "go_sev_guest"
MODULE = "github.com/google/go-sev-guest"
AT = 1_754_006_400  # 2025-08-01, within the validity of every certificate


@dataclass(frozen=True)
class SnpEvidence:
    """A genuine Milan report of version 2 with its chain, DER."""

    report: bytes
    vcek: bytes
    ask: bytes


def load() -> SnpEvidence:
    """Read report and certificates from the pinned version of the module (go.sum holds its digest)."""
    folder = Path(json.loads(go("mod", "download", "-json", MODULE, cwd=PEER))["Dir"])
    test_data = folder / "verify" / "testdata"
    chain = pem_blocks((folder / "verify" / "trust" / "ask_ark_milan.pem").read_bytes(), "CERTIFICATE")
    return SnpEvidence(
        report=(test_data / "attestation.bin").read_bytes(),
        vcek=(test_data / "vcek.testcer").read_bytes(),
        ask=chain[0],
    )
