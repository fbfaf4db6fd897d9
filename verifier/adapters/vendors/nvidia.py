"""NVIDIA's OCSP service (RFC 6960, appendix A.1): one POST a certificate. Never tried against NVIDIA's own.

The request names the certificate by SHA-1 of its issuer's name and key, as NVIDIA's documentation does, and carries no nonce: the
answer is kept until its nextUpdate.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.ocsp import OCSPRequestBuilder

from verifier.adapters.collateral import items
from verifier.adapters.collateral.http import Absent, Get
from verifier.adapters.collateral.items import Item

NAME: Final = "nvidia"


class NvidiaOcsp:
    """Asks the responder at ``url`` (``https://ocsp.ndis.nvidia.com``)."""

    name = NAME

    def __init__(self, url: str) -> None:
        self._url = url

    def fetch(self, item: Item, get: Get) -> tuple[bytes, bytes]:
        """Return the answer, and no chain: issuers are in the evidence. Raises what ``get`` raises."""
        if item.kind != items.NVIDIA_OCSP:
            raise Absent(f"{item.kind}: not NVIDIA's")
        return get(self._url, request_of(item.key)).body, b""


def request_of(key: str) -> bytes:
    """Return the DER of a request about the certificate of an item's key."""
    name, issuer, serial = key.split("-")
    builder = OCSPRequestBuilder().add_certificate_by_hash(
        bytes.fromhex(name),
        bytes.fromhex(issuer),
        int(serial, 16),
        SHA1(),  # noqa: S303 - names a certificate
    )
    return builder.build().public_bytes(Encoding.DER)
