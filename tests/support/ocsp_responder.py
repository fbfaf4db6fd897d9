"""A stand-in for NVIDIA's OCSP service, over TLS under a CA of its own: answers POSTed requests from what it is given."""

from __future__ import annotations

import contextlib
import hashlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.x509 import ocsp

from tests.support.issuer import make_tls

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


class _Handler(BaseHTTPRequestHandler):
    responder: OcspResponder
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        request = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.responder.asked.append((self.path, headers, request))
        body = self.responder.answer(request)
        self.send_response(self.responder.status)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextlib.contextmanager
def ocsp_responder(folder: Path, documents: Mapping[tuple[str, str], bytes]) -> Iterator[OcspResponder]:
    """Serve on 127.0.0.1 until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_file, certificate, key = make_tls(folder, label="ocsp")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    responder = OcspResponder(dict(documents), ca_file=ca_file)
    handler = type("Handler", (_Handler,), {"responder": responder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    responder.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield responder
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
