"""Verify one genuine SNP report: warm chain, whole chain, bare P-384, go-sev-guest; alternately, five times each.

    python -m benchmarks.verify [--format json] [--rounds N] [--seconds S]

Prints medians and ratios. Exit 0: targets met; 1: a ratio is past its target; 3: a part is missing. Both sides verify the same bytes
without a CRL (the rival's test data has none); everything else is what the service runs: decode, collate, every check, user data.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key

from benchmarks.timing import MissingPartError, Target, benchmark, go_built, timed
from benchmarks.verify.evidence import AT, PEER, SnpEvidence, load
from verifier.formats import x509, x509chain
from verifier.formats.x509chain import ChainCache
from verifier.tee import chain
from verifier.tee.scheme import Subject, Verified
from verifier.tee.sev_snp import decode, verify
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.verified import UnsafeUnbound, run_checks

TARGETS: Mapping[str, Target] = {
    "warm / bare P-384": ("warm", "bare", 1.15, True),
    "go-sev-guest / warm": ("go-sev-guest", "warm", 2.3, False),
    "go-sev-guest / with chain": ("go-sev-guest", "chain", 1.4, False),
}
_CACHES = (
    x509._read_certificate,  # noqa: SLF001 - a cold start has none of them
    x509.common_name,
    x509chain._find,  # noqa: SLF001
    x509chain._public_key,  # noqa: SLF001
    decode._read_vek,  # noqa: SLF001
    verify._collate,  # noqa: SLF001
    chain.find,
    chain._constrained,  # noqa: SLF001
)


def verify_once(evidence: SnpEvidence, chains: ChainCache) -> Verified[decode.Report, verify.SnpCollateral]:
    """Do what the service does from step 3 to 5, on fresh copies of the bytes as a request brings them."""
    parts = {"report": bytes(bytearray(evidence.report))}
    given = {"vcek": bytes(bytearray(evidence.vcek)), "ask": bytes(bytearray(evidence.ask))}
    report = SCHEME.form.decode(parts)
    SCHEME.collateral.needs(report, given)
    collateral = SCHEME.collateral.collate(report, given)
    if collateral.crl_required:
        collateral = _without_crl(collateral)
    subject = Subject(report, collateral, SCHEME.verification.anchors, AT, chains)
    return run_checks(SCHEME, subject, UnsafeUnbound(report.report_data))


_LENIENT: dict[int, verify.SnpCollateral] = {}


def _without_crl(collateral: verify.SnpCollateral) -> verify.SnpCollateral:
    """Lift the demand for a CRL, once for each record."""
    found = _LENIENT.get(id(collateral))
    if found is None:
        _LENIENT.clear()
        found = _LENIENT[id(collateral)] = replace(collateral, crl_required=False)
    return found


def _cold(evidence: SnpEvidence) -> None:
    for cached in _CACHES:
        cached.cache_clear()
    _LENIENT.clear()
    verify_once(evidence, ChainCache())


def _bare(evidence: SnpEvidence, chains: ChainCache) -> Callable[[], None]:
    """Return the one P-384 verification that nothing can do without, its key loaded, on the same signature."""
    verified = verify_once(evidence, chains)
    vek = verified.collateral.vek
    if vek is None:
        raise MissingPartError("the verified report has no certificate")
    key = load_der_public_key(vek.certificate.spki)
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise MissingPartError("the VCEK's key is no EC key")
    report = verified.evidence
    signature = encode_dss_signature(report.signature_r, report.signature_s)
    algorithm = ec.ECDSA(hashes.SHA384())
    return lambda: key.verify(signature, report.signed, algorithm)


def _peer(program: Path, seconds: float) -> float:
    count = max(50, int(seconds / 0.0015))
    done = subprocess.run([str(program), "-n", str(count), "-at", str(AT)], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e3


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Run every contender in turn, ``rounds`` times; microseconds a verification."""
    evidence = load()
    chains = ChainCache()
    bare = _bare(evidence, chains)
    times: dict[str, list[float]] = {"bare": [], "warm": [], "chain": [], "go-sev-guest": []}
    with tempfile.TemporaryDirectory() as folder:
        program = go_built(PEER, Path(folder))
        for _ in range(rounds):
            times["bare"].append(timed(bare, seconds))
            times["warm"].append(timed(lambda: verify_once(evidence, chains), seconds))
            times["chain"].append(timed(lambda: _cold(evidence), seconds))
            verify_once(evidence, chains)  # warm again
            times["go-sev-guest"].append(_peer(program, seconds))
    return times


if __name__ == "__main__":
    sys.exit(benchmark("verify", __doc__ or "", TARGETS, measure))
