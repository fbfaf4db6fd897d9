"""Adversaries for the demo: a tampering attester, and servers between an attester and its verifier."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from attester.flow import bind, challenge, request_body, verifier_client
from attester.https import Client, Reply
from attester.keys import REQUEST_MEDIA_TYPE, RequestKeys
from attester.providers import Provider
from attester.settings import Trust
from tools.demo.tls import make_server_tls
from verifier.core.envelope import Envelope
from verifier.token.answer import encrypt_answer


@dataclass(frozen=True, slots=True)
class Request:
    """A request that could be sent now, or again, or changed."""

    keys: RequestKeys
    nonce: bytes
    envelope: Envelope
    body: bytes


def prepare(trust: Trust, provider: Provider, keys: RequestKeys | None = None) -> Request:
    """Walk the attester's way up to the signed request, and keep everything."""
    nonce, keys = challenge(verifier_client(trust), trust), keys or RequestKeys.fresh()
    envelope = provider.collect(bind(trust, keys, nonce))
    return Request(keys, nonce, envelope, request_body(trust, keys, nonce, envelope))


def with_part(trust: Trust, request: Request, name: str, change: Callable[[bytes], bytes]) -> Request:
    """Change one part of the evidence and sign the request anew, as its sender may."""
    parts = dict(request.envelope.parts)
    parts[name] = change(parts[name])
    envelope = replace(request.envelope, parts=parts)
    return replace(request, envelope=envelope, body=request_body(trust, request.keys, request.nonce, envelope))


def send(client: Client, body: bytes) -> Reply:
    """Send a request as it stands."""
    return client.call(
        "POST",
        "/v1/attestations",
        body=body,
        headers={"Content-Type": REQUEST_MEDIA_TYPE, "Accept": "application/json"},
    )


def flipped(position: int) -> Callable[[bytes], bytes]:
    """Return a change that flips the lowest bit of one byte."""

    def change(data: bytes) -> bytes:
        return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]

    return change


def open_jwe(answer: str, enc: ec.EllipticCurvePrivateKey) -> bytes:
    """Decrypt an answer with one's own key, as its rightful recipient can: what is inside is a signed JWS."""
    jwe = JWE(algs=["ECDH-ES", "A256GCM"])
    jwe.deserialize(answer, JWK.from_pyca(enc))
    plaintext: bytes = jwe.payload
    return plaintext


Handler = Callable[[str, bytes], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class FalseVerifier:
    """A server that an attester is led to; the attester's network, host and DNS are the enemy's."""

    url: str
    ca_pem: str


@contextmanager
def false_verifier(folder: Path, answer: Handler) -> Iterator[FalseVerifier]:
    """Serve ``answer(path, body) -> (status, JSON bytes)`` over TLS until the block ends."""

    class Hands(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, data = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own signature
            del format, args

    folder.mkdir(parents=True, exist_ok=True)
    ca_file, certificate, key = make_server_tls(folder, f"false-{time.monotonic_ns()}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hands)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield FalseVerifier(f"https://127.0.0.1:{server.server_address[1]}", ca_file.read_text(encoding="ascii"))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def re_encrypt(jws: bytes, enc: Mapping[str, str], random: Callable[[int], bytes]) -> bytes:
    """Encrypt another attester's signed answer to a victim's key: that takes no secret."""
    return json.dumps({"answer": encrypt_answer(jws, enc, random)}).encode()
