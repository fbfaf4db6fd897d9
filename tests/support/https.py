"""HTTPS on 127.0.0.1 for tests: a CA and a certificate made for one server, which serves until a block ends."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: str, public: ec.EllipticCurvePublicKey, issuer: str, key: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if not ca:
        local = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([local]), critical=False)
    return builder.sign(key, hashes.SHA256())


def make_tls(folder: Path, *, label: str = "issuer") -> tuple[Path, Path, Path]:
    """Make a CA and a certificate for 127.0.0.1: files of the CA, the certificate and its key."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate(f"{label} test CA", ca_key.public_key(), f"{label} test CA", ca_key, ca=True)
    leaf = _certificate(label, key.public_key(), f"{label} test CA", ca_key, ca=False)
    ca_file, cert_file, key_file = (folder / f"{label}-{part}.pem" for part in ("ca", "cert", "key"))
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    cert_file.write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return ca_file, cert_file, key_file


@dataclass(frozen=True)
class Server:
    """A running HTTPS server."""

    url: str
    ca_file: Path

    @property
    def ca(self) -> str:
        """Return the PEM of its CA."""
        return self.ca_file.read_text()


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that writes no log."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""

    def answer(self, status: int, body: bytes, content_type: str) -> None:
        """Answer with a whole body."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up, or refuses our certificate, is what some tests are about."""


def documents_handler(find: Callable[[str], bytes | None]) -> type[QuietHandler]:
    """Make a handler of GET. ``find`` has the JSON document of a path; 404 where it has none."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            body = find(self.path)
            self.answer(200 if body else 404, body or b"", "application/json")

    return Handler


@contextmanager
def https_server(
    folder: Path, label: str, handler: type[BaseHTTPRequestHandler], *, handshake: bool = True
) -> Iterator[Server]:
    """Serve on 127.0.0.1 until the block ends. ``handshake``: before a connection is handed to its own thread."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_file, cert_file, key_file = make_tls(folder, label=label)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert_file, key_file)
    server = _Quiet(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=handshake)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield Server(f"https://127.0.0.1:{server.server_address[1]}", ca_file)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
