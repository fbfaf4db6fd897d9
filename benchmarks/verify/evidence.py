"""The evidence that both sides verify: the test data of the Go module go-sev-guest, read from Go's module cache."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from verifier.core.x509 import pem_blocks

PEER = Path(__file__).resolve().parents[1] / "peers" / "go_sev_guest"
MODULE = "github.com/google/go-sev-guest"
AT = 1_754_006_400  # 2025-08-01, within the validity of every certificate


class MissingPartError(Exception):
    """What the benchmark needs and this machine has not."""


@dataclass(frozen=True)
class SnpEvidence:
    """A genuine Milan report of version 2 with its chain, DER."""

    report: bytes
    vcek: bytes
    ask: bytes


def go() -> str:
    """Return the Go command."""
    found = shutil.which("go")
    if found is None:
        raise MissingPartError("go: not on PATH; install Go 1.21 or later to measure against go-sev-guest")
    return found


def _ask(*arguments: str) -> str:
    done = subprocess.run([go(), *arguments], cwd=PEER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"go {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def load() -> SnpEvidence:
    """Read report and certificates from the pinned version of the module (go.sum holds its digest)."""
    folder = Path(json.loads(_ask("mod", "download", "-json", MODULE))["Dir"])
    test_data = folder / "verify" / "testdata"
    chain = pem_blocks((folder / "verify" / "trust" / "ask_ark_milan.pem").read_bytes(), "CERTIFICATE")
    return SnpEvidence(
        report=(test_data / "attestation.bin").read_bytes(),
        vcek=(test_data / "vcek.testcer").read_bytes(),
        ask=chain[0],
    )


def build_peer(folder: Path) -> Path:
    """Build the rival's program."""
    program = folder / "go_sev_guest"
    _ask("build", "-o", str(program), ".")
    return program
