"""NVIDIA: the answers of its OCSP service (RFC 6960, appendix A.1), one POST a certificate. Never tried against NVIDIA's own.

A request names the certificate by SHA-1 of its issuer's name and key, as NVIDIA's documentation does, and carries no nonce: the
answer is kept until its nextUpdate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPRequestBuilder

from verifier.adapters.vendors import reading
from verifier.adapters.vendors.kind import Document, Facts, Fetched, Get, Kind, Service, Vendor
from verifier.core.settings import NVIDIA_OCSP
from verifier.tee.nvidia_gpu.ocsp import KIND, read_answer

_MEDIA: Final = {"Content-Type": "application/ocsp-request", "Accept": "application/ocsp-response"}
_MOST_S: Final = 31 * 86_400


@dataclass(frozen=True, slots=True)
class NvidiaOcsp(Service):
    """NVIDIA's responder, or one in its place."""

    def answer(self, key: str, get: Get) -> Fetched:
        """Ask about one certificate. No chain comes along: the issuers are in the evidence."""
        return get(self.url, request_of(key), _MEDIA).body, b""


def request_of(key: str) -> bytes:
    """Return the DER of a request about the certificate of a key."""
    name, issuer, serial = key.split("-")
    builder = OCSPRequestBuilder().add_certificate_by_hash(
        bytes.fromhex(name),
        bytes.fromhex(issuer),
        int(serial, 16),
        SHA1(),  # noqa: S303 - names a certificate
    )
    return builder.build().public_bytes(Encoding.DER)


def _read(document: Document) -> Facts:
    """Read an answer that says something: one that NVIDIA does not know is asked for again."""
    answer = read_answer(document.body)
    if answer.status == "unknown":
        raise ValueError("certStatus: got unknown, want good or revoked")
    reading.require("hashAlgorithm", answer.hash_name, "sha1")
    key = f"{answer.issuer_name_hash.hex()}-{answer.issuer_key_hash.hex()}-{answer.serial:x}"
    reading.require("certID", key, document.key)
    if answer.next_update - answer.this_update > _MOST_S:
        raise ValueError(f"nextUpdate: got {answer.next_update}, want at most 31 days after thisUpdate")
    return Facts(answer.this_update, answer.next_update, (answer.this_update,))


VENDOR: Final = Vendor(
    name="nvidia",
    schemes=("nvidia-gpu",),
    own_url=NVIDIA_OCSP,
    service=lambda settings: NvidiaOcsp(settings.nvidia_ocsp_url),
    interval_s=lambda settings: settings.nvidia_ocsp_interval_s,
    kinds=(
        Kind(
            name=KIND,
            # SHA-1 of the issuer's name and of its key, serial number: what a request says.
            key=r"[0-9a-f]{40}-[0-9a-f]{40}-(?:0|[1-9a-f][0-9a-f]{0,39})",
            reach="chip",
            watched=True,
            fetch=NvidiaOcsp.answer,
            read=_read,
            # Which key has to have signed it, only the evidence says. A false one is gone at its end (``_MOST_S``).
            is_genuine=None,
        ),
    ),
)
