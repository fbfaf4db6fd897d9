"""Vault as a workload meets it: log in with the token, read, and hand the Vault token back. Tokens stay in memory.

Address, CA, mount and role come from the verified answer and from nowhere else. Source: Vault HTTP API, "JWT/OIDC auth
method", "KV secrets engine, version 2", "Token auth method".
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from attester.answer import VaultPlace
from attester.https import Client, Reply
from attester.ids import AttesterId
from attester.problems import raise_vault_problem
from verifier.formats.errors import BridgeError, ConfigError, EvidenceRejected, MalformedEvidence

# Paths and mounts go into a URL as they stand: no escapes, no queries, no empty or dotted steps.
_PATH = re.compile(r"[A-Za-z0-9_.=@~-]+(?:/[A-Za-z0-9_.=@~-]+)*", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}", re.ASCII)
_OK, _NO_CONTENT = 200, 204
_JWT_LIFE_S = 45.0  # tokens live 60 s by default; a login after that is refused anyway


@dataclass(frozen=True, slots=True)
class Reference:
    """A secret as the command line names it: ``PATH#KEY``, the path as Vault's API has it (``secret/data/web/db``)."""

    path: str
    key: str

    def __str__(self) -> str:
        return f"{self.path}#{self.key}"


def is_path(text: str) -> bool:
    """Tell whether a text may stand in a Vault URL."""
    return _PATH.fullmatch(text) is not None and not any(step in (".", "..") for step in text.split("/"))


def parse_reference(text: str) -> Reference:
    """Read ``PATH#KEY``."""
    path, hash_mark, key = text.partition("#")
    if not hash_mark or not key or not is_path(path) or not key.isprintable():
        raise ConfigError(
            "command line", "PATH#KEY", text, "a path of Vault's API and a key, such as secret/data/web/db#password"
        )
    return Reference(path, key)


@dataclass(frozen=True, slots=True)
class VaultToken:
    """A Vault token and how long it lives, in seconds."""

    value: str = field(repr=False)
    lease_s: int


class Vault:
    """A session with one Vault. Nothing it raises holds a token or a secret."""

    def __init__(self, place: VaultPlace) -> None:
        if not is_path(place.mount) or not place.role:
            raise ConfigError("answer", "vault.mount", place.mount, "a mount's path, and a role")
        self._place = place
        self._client = Client(place.address, place.ca_pem, name="vault")
        self._token = ""

    def login(self, jwt: str) -> VaultToken:
        """Log in at the mount with the role that the answer names."""
        place = self._place
        body = {"role": place.role, "jwt": jwt}
        reply = self._client.post_json(f"/v1/auth/{place.mount}/login", body, headers={"X-Vault-Request": "true"})
        if reply.status != _OK:
            raise_vault_problem(reply, AttesterId.VAULT_LOGIN, f"login as role {place.role!r}", (jwt,))
        auth = reply.json(AttesterId.VAULT_ANSWER).get("auth")
        token = auth.get("client_token") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise MalformedEvidence(AttesterId.VAULT_ANSWER, "auth.client_token: got none, want a token")
        lease = auth.get("lease_duration")
        self._token = token
        return VaultToken(token, lease if isinstance(lease, int) else 0)

    def read(self, reference: Reference) -> bytes:
        """Read one value: the string itself, or the JSON form of another type."""
        reply = self._get(reference.path)
        data = reply.json(AttesterId.VAULT_ANSWER).get("data")
        if not isinstance(data, dict):
            raise MalformedEvidence(AttesterId.VAULT_ANSWER, f"{reference.path}: data: want an object")
        if set(data) >= {"data", "metadata"} and isinstance(data["metadata"], dict):
            data = data["data"]  # KV version 2 wraps what version 1 has at the top
        if not isinstance(data, dict) or reference.key not in data:
            raise EvidenceRejected(AttesterId.SECRET_KEY, f"{reference}: no such key at that path (or deleted)")
        return _as_bytes(data[reference.key])

    def _get(self, path: str) -> Reply:
        reply = self._client.call("GET", f"/v1/{path}", headers=self._headers())
        if reply.status != _OK:
            raise_vault_problem(reply, AttesterId.VAULT_DENIED, f"read {path}", (self._token,))
        return reply

    def _headers(self) -> dict[str, str]:
        return {"X-Vault-Token": self._token, "X-Vault-Request": "true", "Accept": "application/json"}

    def revoke(self) -> bool:
        """Hand the token back; ``False`` where Vault did not take it, and it lives to its short end."""
        if not self._token:
            return True
        with contextlib.suppress(BridgeError):
            reply = self._client.call("POST", "/v1/auth/token/revoke-self", headers=self._headers())
            self._token = ""
            return reply.status in (_OK, _NO_CONTENT)
        self._token = ""
        return False


@dataclass(frozen=True, slots=True)
class Fetched:
    """Secrets by reference, and whether the Vault token was handed back."""

    values: Mapping[Reference, bytes] = field(repr=False)
    revoked: bool


def fetch(place: VaultPlace, jwt: str, references: Iterable[Reference], *, wait_s: float) -> Fetched:
    """Log in, read each secret once, hand the token back whatever happened. Trouble that may pass is waited for."""
    from attester.patience import patiently

    wait_s = min(wait_s, _JWT_LIFE_S)
    vault = Vault(place)
    patiently(lambda: vault.login(jwt), wait_s=wait_s)
    values: dict[Reference, bytes] = {}
    try:
        for reference in dict.fromkeys(references):
            values[reference] = patiently(partial(vault.read, reference), wait_s=wait_s)
    finally:
        revoked = vault.revoke()
    return Fetched(values, revoked)


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()
