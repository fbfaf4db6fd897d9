"""The bare cryptography of one attestation, in a process of its own: what no verifier can do without.

One P-384 verification (the report), one P-256 verification (the request), two P-256 signatures (token, answer), one ECDH and
one AES-GCM (the answer's encryption), through the same library. Prints CPU seconds per round.
"""

from __future__ import annotations

import os
import sys
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def run(rounds: int) -> float:
    """Return CPU seconds per round over ``rounds`` rounds."""
    chip, sig, signer, ours, theirs = (
        ec.generate_private_key(curve)
        for curve in (ec.SECP384R1(), ec.SECP256R1(), ec.SECP256R1(), ec.SECP256R1(), ec.SECP256R1())
    )
    report, request, token = os.urandom(672), os.urandom(6_000), os.urandom(1_500)
    sha384, sha256 = ec.ECDSA(hashes.SHA384()), ec.ECDSA(hashes.SHA256())
    report_signature, request_signature = chip.sign(report, sha384), sig.sign(request, sha256)
    chip_public, sig_public, their_public = chip.public_key(), sig.public_key(), theirs.public_key()
    start = time.process_time()
    for _ in range(rounds):
        chip_public.verify(report_signature, report, sha384)
        sig_public.verify(request_signature, request, sha256)
        signer.sign(token, sha256)
        signer.sign(token, sha256)
        shared = ours.exchange(ec.ECDH(), their_public)
        AESGCM(shared).encrypt(b"\0" * 12, token, b"")
    return (time.process_time() - start) / rounds


if __name__ == "__main__":
    print(run(int(sys.argv[1])))
