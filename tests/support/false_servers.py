"""A verifier and a Vault that say whatever a test wants, over real HTTPS under CAs of their own.

The verifier's side reads requests with the real ``wire.parse`` and makes real answers with keys of its own; a test turns
one thing wrong. It appraises nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.https import QuietHandler, Server, https_server
from tests.support.signing import new_key
from tools.demo.trust import image_file
from verifier.core.ports import SigningKey
from verifier.core.wire import AttestationRequest, parse
from verifier.formats.encoding import b64url, canonical
from verifier.token.answer import encrypt_answer, sign_answer, sign_key_set

JWT_MARK = "the-token-is-secret"
VAULT_TOKEN = "hvs.the-vault-token-is-secret"  # noqa: S105 - made up
TENANT, WORKLOAD, AUDIENCE = "default", "web", "vault/jwt-default"


@dataclass(frozen=True)
class Said:
    """A response."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """A request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Responder = Callable[[Seen], Said]


class _Handler(QuietHandler):
    respond: Responder
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        said = type(self).respond(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        content = (
            said.body if isinstance(said.body, bytes) else b"" if said.body is None else json.dumps(said.body).encode()
        )
        self.send_response(said.status)
        for name, value in said.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in said.headers:  # a test may promise more than it sends
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)
        self.close_connection = True

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - http.server's names


def responding(folder: Path, label: str, respond: Responder) -> AbstractContextManager[Server]:
    """Serve what a function says, under a CA made for this server."""
    return https_server(folder, label, type("Handler", (_Handler,), {"respond": staticmethod(respond)}))


@dataclass
class FalseVault:
    """Secrets by path, and a record of what was asked."""

    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    replies: dict[str, list[Said]] = field(default_factory=dict)  # path -> what to say first

    def respond(self, seen: Seen) -> Said:
        """Answer as Vault does."""
        self.seen.append(seen)
        if self.replies.get(seen.path):
            return self.replies[seen.path].pop(0)
        if seen.path.endswith("/login"):
            auth = {"client_token": VAULT_TOKEN, "lease_duration": 60, "renewable": False}
            return Said(200, {"auth": auth})
        if seen.headers.get("x-vault-token") != VAULT_TOKEN:
            return Said(403, {"errors": ["permission denied"]})
        if seen.path == "/v1/auth/token/revoke-self":
            return Said(204)
        path = seen.path.removeprefix("/v1/")
        if path not in self.secrets:
            return Said(403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
        return Said(200, {"data": self.secrets[path]})

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [seen.path for seen in self.seen]


@dataclass
class FalseVerifier:
    """A verifier's face. ``change`` may replace members of the answer, ``resign`` keys, ``replies`` whole responses."""

    vault: Mapping[str, str]
    root: SigningKey = field(default_factory=new_key)
    answer_key: SigningKey = field(default_factory=new_key)
    issuer: str = ""
    seq: int = 3
    nonce: bytes = b""
    change: Callable[[AttestationRequest, dict[str, Any]], None] = lambda _request, _members: None
    claims: Callable[[dict[str, Any]], None] = lambda _claims: None
    recipient: Callable[[AttestationRequest], Mapping[str, str]] = lambda request: request.enc
    replies: dict[str, list[Said]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    requests: list[AttestationRequest] = field(default_factory=list)
    forged_root: SigningKey | None = None

    def respond(self, seen: Seen) -> Said:
        """Answer as a verifier does."""
        self.seen.append(seen)
        if self.replies.get(seen.path):
            return self.replies[seen.path].pop(0)
        if seen.path == "/v1/challenges":
            self.nonce = os.urandom(64)
            return Said(200, {"nonce": b64url(self.nonce), "expires_in": 120})
        if seen.path != "/v1/attestations":
            return Said(404, problem(404, "service.route"))
        request = parse(seen.body)
        assert seen.headers["content-type"] == "application/jose"
        assert request.nonce == self.nonce
        self.requests.append(request)
        return Said(200, {"answer": self.answer(request)})

    def answer(self, request: AttestationRequest) -> str:
        """Make the answer: members, signature, encryption."""
        claims = {"cnf": {"jkt": b64url(request.sig_thumbprint)}, "eat_nonce": b64url(request.nonce)}
        self.claims(claims)
        members: dict[str, Any] = {
            "issuer": self.issuer,
            "nonce": b64url(request.nonce),
            "tenant": request.tenant,
            "workload": request.workload,
            "sig": b64url(request.sig_thumbprint),
            "enc": b64url(request.enc_thumbprint),
            "token": f"{b64url(b'{}')}.{b64url(canonical(claims))}.{JWT_MARK}",
            "vault": dict(self.vault),
        }
        self.change(request, members)
        now = int(time.time())
        key_set = sign_key_set(
            self.forged_root or self.root,
            issuer=self.issuer,
            seq=self.seq,
            issued_at=now - 10,
            expires_at=now + 600,
            keys=[self.answer_key.public_jwk],
        )
        return encrypt_answer(sign_answer(members, self.answer_key, key_set), self.recipient(request), os.urandom)

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [seen.path for seen in self.seen]


def problem(status: int, check_id: str, detail: str = "a detail") -> dict[str, Any]:
    """Return an RFC 9457 problem as the verifier writes it."""
    return {"type": "about:blank", "title": "no", "status": status, "detail": detail, "code": "x", "check_id": check_id}


@dataclass
class Stage:
    """Both servers, up."""

    verifier: FalseVerifier
    vault: FalseVault
    verifier_server: Server
    vault_server: Server

    def config(self, *, lowest_seq: int = 1) -> str:
        """Return the configuration of an attester that believes this verifier."""
        root = ", ".join(f'{name} = "{value}"' for name, value in self.verifier.root.public_jwk.items())
        return (
            "version = 1\n[verifier]\n"
            f'url = "{self.verifier_server.url}"\nissuer = "{self.verifier.issuer}"\n'
            f'ca = """{self.verifier_server.ca}"""\nroot = {{ {root} }}\nroot_lowest_seq = {lowest_seq}\n'
            f'[workload]\ntenant = "{TENANT}"\nname = "{WORKLOAD}"\naudience = "{AUDIENCE}"\n'
        )

    def image(self, **lists: list[str]) -> bytes:
        """Return the image file of a machine that believes this verifier's root; ``lists`` narrow what may be chosen."""
        return image_file(self.verifier.root.public_jwk, **lists)


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Start a false Vault and a false verifier that sends attesters there."""
    vault = FalseVault()
    with responding(folder, "vault", vault.respond) as vault_server:
        place = {"address": vault_server.url, "ca_pem": vault_server.ca, "mount": "jwt-default", "role": "web"}
        verifier = FalseVerifier(vault=place)
        with responding(folder, "verifier", verifier.respond) as verifier_server:
            verifier.issuer = f"{verifier_server.url}/t/{TENANT}"
            yield Stage(verifier, vault, verifier_server, vault_server)
