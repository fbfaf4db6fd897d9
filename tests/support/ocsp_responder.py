"""A stand-in for NVIDIA's OCSP service, over TLS under a CA of its own: answers POSTed requests from what it is given."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.x509 import ocsp

from tests.support.https import QuietHandler, https_server

_UNAUTHORIZED = bytes.fromhex("30030a0106")


@dataclass
class OcspResponder:
    """State of a running stand-in: documents by kind and key, and what was asked. ``status`` other than 200: nothing but that."""

    documents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    url: str = ""
    ca_file: Path = Path()
    status: int = 200
    asked: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    def answer(self, request: bytes) -> bytes:
        """Answer a request as RFC 6960 says: what this responder does not know is *unauthorized*, as at NVIDIA's."""
        read = ocsp.load_der_ocsp_request(request)
        assert isinstance(read.hash_algorithm.name, str)
        assert read.hash_algorithm.name == hashlib.new("sha1", usedforsecurity=False).name
        key = f"{read.issuer_name_hash.hex()}-{read.issuer_key_hash.hex()}-{read.serial_number:x}"
        return self.documents.get(("nvidia.ocsp", key), _UNAUTHORIZED)


class _Handler(QuietHandler):
    responder: OcspResponder
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        request = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.responder.asked.append((self.path, headers, request))
        body = self.responder.answer(request)
        self.answer(self.responder.status, body, "application/ocsp-response")
        self.close_connection = True


@contextlib.contextmanager
def ocsp_responder(folder: Path, documents: Mapping[tuple[str, str], bytes]) -> Iterator[OcspResponder]:
    """Serve on 127.0.0.1 until the block ends."""
    responder = OcspResponder(dict(documents))
    handler = type("Handler", (_Handler,), {"responder": responder})
    with https_server(folder, "ocsp", handler, handshake=False) as server:
        responder.url, responder.ca_file = server.url, server.ca_file
        yield responder
