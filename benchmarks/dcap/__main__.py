"""Verify one TDX and one SGX quote with warm collateral: ours, dcap-qvl, go-tdx-guest, bare P-256; alternately, five times each.

    python -m benchmarks.dcap [--format json] [--rounds N] [--seconds S]

Prints medians and ratios. Exit 0: targets met; 1: a ratio is past its target; 3: a part is missing. All verify the same
forged quotes under the same forged root. Ours and dcap-qvl are given the same collateral and say TCB status and advisories;
go-tdx-guest does what it does by default: quote and PCK chain, no collateral, no CRL, TDX alone. Ours is what the service runs
from step 3 to 5, and the evaluation; warm means that chain, QE report and documents were verified before, over the same bytes.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import dcap_qvl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.timing import MissingPartError, Target, benchmark, go_built, timed
from forge.intel import ForgedIntel
from forge.intel_documents import Tee
from verifier.formats.x509chain import ChainCache
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Subject
from verifier.tee.verified import UnsafeUnbound, run_checks

AT = 1_780_000_000
PEER = Path(__file__).resolve().parents[1] / "peers" / "go_tdx_guest"
# The numerator has to be at least so many times the denominator.
TARGETS: Mapping[str, Target] = {
    "go-tdx-guest / tdx": ("go-tdx-guest tdx", "ours tdx", 3.0, False),
    "dcap-qvl / tdx": ("dcap-qvl tdx", "ours tdx", 1.0, False),
    "dcap-qvl / sgx": ("dcap-qvl sgx", "ours sgx", 1.0, False),
}
_REPORT_DATA = bytes(range(64))


def ours(tee: Tee, intel: ForgedIntel) -> Callable[[], str]:
    """Return one verification, on fresh copies of the quote as a request brings it."""
    scheme, quote = SCHEMES[tee], intel.quote(tee, report_data=_REPORT_DATA)
    given, chains, anchors = intel.collateral(tee), ChainCache(), (intel.anchor(),)

    def once() -> str:
        evidence = scheme.form.decode({"quote": bytes(bytearray(quote))})
        scheme.collateral.needs(evidence, {})
        subject = Subject(evidence, scheme.collateral.collate(evidence, given), anchors, AT, chains)
        return scheme.token.tcb_status(run_checks(scheme, subject, UnsafeUnbound(_REPORT_DATA)))

    return once


def _signed(document: bytes, key: str) -> tuple[str, bytes]:
    text = document.decode()
    inner = text[text.index(f'"{key}":') + len(key) + 3 : text.rindex(',"signature"')]
    return inner, bytes.fromhex(json.loads(text)["signature"])


def qvl(tee: Tee, intel: ForgedIntel) -> Callable[[], str]:
    """Return one verification of the same by dcap-qvl, its collateral read beforehand."""
    quote, given, root = intel.quote(tee, report_data=_REPORT_DATA), intel.collateral(tee), intel.root()
    issuers = re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----\n", intel.pck_chain().decode(), re.DOTALL)[1:]
    tcb_info, qe_identity = _signed(given["tcb_info"], "tcbInfo"), _signed(given["qe_identity"], "enclaveIdentity")
    collateral = dcap_qvl.QuoteCollateralV3(
        "".join(issuers),
        given["root_crl"],
        given["pck_crl"],
        given["tcb_info_chain"].decode(),
        *tcb_info,
        given["qe_identity_chain"].decode(),
        *qe_identity,
    )
    return lambda: str(dcap_qvl.verify_with_root_ca(quote, collateral, root, AT).status)


def bare() -> Callable[[], None]:
    """Return one P-256 verification, its key loaded: the quote's own signature, which nothing can do without."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    algorithm, data = ec.ECDSA(hashes.SHA256()), bytes(632)
    signature, public = key.sign(data, algorithm), key.public_key()
    return lambda: public.verify(signature, data, algorithm)


def _go(program: Path, folder: Path, seconds: float) -> float:
    count = max(100, int(seconds / 0.0007))
    words = [program, "-n", count, "-at", AT, "-quote", folder / "quote", "-root", folder / "root"]
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1e3


def measure(rounds: int, seconds: float) -> dict[str, list[float]]:
    """Run every contender in turn, ``rounds`` times; microseconds a verification."""
    intel = ForgedIntel(now=AT, like_intel=True)
    contenders: dict[str, Callable[[], object]] = {"bare P-256": bare()}
    tees: tuple[Tee, ...] = ("tdx", "sgx")
    for tee in tees:
        mine, rival = ours(tee, intel), qvl(tee, intel)
        if mine() != "UpToDate" or rival() != "UpToDate":
            raise MissingPartError(f"{tee}: ours says {mine()}, dcap-qvl {rival()}, want UpToDate of both")
        contenders |= {f"ours {tee}": mine, f"dcap-qvl {tee}": rival}
    times: dict[str, list[float]] = {name: [] for name in (*contenders, "go-tdx-guest tdx")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "quote").write_bytes(intel.quote("tdx", report_data=_REPORT_DATA))
        (folder / "root").write_bytes(intel.root())
        program = go_built(PEER, folder)
        for _ in range(rounds):
            for contender, work in contenders.items():
                times[contender].append(timed(work, seconds))
            times["go-tdx-guest tdx"].append(_go(program, folder, seconds))
    return times


if __name__ == "__main__":
    sys.exit(benchmark("dcap", __doc__ or "", TARGETS, measure))
