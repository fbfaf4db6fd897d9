"""Vault as a workload meets it: log in with the token, read, and hand the Vault token back. Tokens stay in memory.

Address, CA, mount and role come from the verified answer and from nowhere else. Source: Vault HTTP API, "JWT/OIDC auth
method", "KV secrets engine, version 2", "Token auth method".
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from attester.answer import Opened, VaultPlace
from attester.https import Client, Reply
from attester.ids import AttesterId
from attester.patience import Patience
from attester.problems import raise_vault_problem
from verifier.formats.encoding import unb64url
from verifier.formats.errors import BridgeError, ConfigError, EvidenceRejected, MalformedEvidence

# Paths and mounts go into a URL as they stand: no escapes, no queries, no empty or dotted steps.
_PATH = re.compile(r"[A-Za-z0-9_.:=@~-]+(?:/[A-Za-z0-9_.:=@~-]+)*", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}", re.ASCII)
_OK, _NO_CONTENT = 200, 204
# A token lives 60 s unless the verifier's settings say otherwise, at most 300. One that is about to end is not worth a login.
_LIFE_S, _LIFE_MAX_S, _LIFE_MARGIN_S = 60.0, 300.0, 5.0


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


# How many steps stand before a secret's name below `MOUNT/data/TENANT/`, by the first of them. No workload has an underscore.
_BEFORE_NAME = {"_instance": 3, "_measurement": 4}


def require_one_segment(references: Iterable[Reference], tenant: str) -> None:
    """Refuse a secret of this tenant whose name is no single segment: no policy of this product grants it (docs/vault.md).

    Other engines, and paths of other forms, are for policies of the owner's own to grant.
    """
    for reference in references:
        steps = reference.path.split("/")
        starts = [at for at in range(1, len(steps) - 1) if steps[at : at + 2] == ["data", tenant]]
        below = steps[starts[0] + 2 :] if starts else []
        name = below[_BEFORE_NAME.get(below[0], 1) :] if below else []
        if len(name) > 1:
            raise ConfigError(
                "command line", "PATH#KEY", str(reference),
                f"a secret's name of one segment, such as {'-'.join(name)}: Vault's policies grant no name with a slash",
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class VaultToken:
    """A Vault token and how long it lives, in seconds."""

    value: str = field(repr=False)
    lease_s: int


class Vault:
    """A session with one Vault. Nothing it raises holds a token or a secret."""

    def __init__(self, place: VaultPlace, left: Callable[[], float] = lambda: math.inf) -> None:
        if not is_path(place.mount) or not place.role:
            raise ConfigError("answer", "vault.mount", place.mount, "a mount's path, and a role")
        self._place = place
        self._client = Client(place.address, place.ca_pem, name="vault", left=left)
        self._token = ""

    @property
    def address(self) -> str:
        """Where this Vault is."""
        return self._place.address

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


def _life_s(jwt: str) -> float:
    """Return how long a token is worth a login, from now on: it was made a moment ago. Vault is the one who checks it."""
    try:
        claims = json.loads(unb64url(jwt.split(".")[1]))
        life = float(claims["exp"]) - float(claims["iat"])
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        life = _LIFE_S
    return min(max(life, 0.0), _LIFE_MAX_S) - _LIFE_MARGIN_S


def log_in(attest: Callable[[], Opened], patience: Patience) -> tuple[Vault, VaultToken]:
    """Attest and log in. While Vault cannot decide, the token is presented again as long as it lives, and then a new one."""

    def once() -> tuple[Vault, VaultToken]:
        opened = attest()
        vault = Vault(opened.vault, patience.left)
        return vault, patience.within(_life_s(opened.token)).repeat(lambda: vault.login(opened.token))

    return patience.repeat(once)


def fetch(attest: Callable[[], Opened], references: Iterable[Reference], patience: Patience) -> Fetched:
    """Attest, log in, read each secret once, hand the token back whatever happened. Trouble that may pass is waited for."""
    vault, _ = log_in(attest, patience)
    values: dict[Reference, bytes] = {}
    try:
        for reference in dict.fromkeys(references):
            values[reference] = patience.repeat(partial(vault.read, reference))
    finally:
        revoked = vault.revoke()
    return Fetched(values, revoked)


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()
