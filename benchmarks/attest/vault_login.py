"""Vault's own JWT login on the same core, for scale: the verifier must never be the slower of the two."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.measure import pinned
from tools.demo.processes import DemoError, Processes, hold_port_pair, real_part

LOGINS = 500
_AUDIENCE = "bench"


class VaultLogin:
    """A dev Vault on plain HTTP whose JWT mount trusts one public key."""

    def __init__(self, port: int, root_token: str, scratch: Path) -> None:
        self._port = port
        self._root_token = root_token
        self._scratch = scratch
        self._key = ec.generate_private_key(ec.SECP256R1())

    def _call(self, method: str, path: str, body: dict[str, Any]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request(method, f"/v1/{path}", json.dumps(body), {"X-Vault-Token": self._root_token})
        return connection.getresponse().status

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return self._call("GET", "sys/health", {}) == http.client.OK
        except OSError:
            return False

    def configure(self) -> None:
        """Mount JWT auth with a role as the Terraform module makes it, and a static key: no JWKS to fetch."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        role = {
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": [_AUDIENCE], "token_ttl": "300s",
            "bound_claims": {"root": ["vendor"], "simulated": ["false"]}, "claim_mappings": {"workload": "workload"},
        }  # fmt: skip
        calls = (
            ("sys/auth/jwt", {"type": "jwt"}),
            ("auth/jwt/config", {"jwt_validation_pubkeys": [public.decode()], "bound_issuer": "https://v/t/default"}),
            ("auth/jwt/role/bench", role),
        )
        for path, body in calls:
            status = self._call("POST", path, body)
            if status not in (http.client.OK, http.client.NO_CONTENT):
                raise DemoError(f"vault: {path}: {status}")

    def round(self, core: int, clients: int) -> float:
        """Log in ``LOGINS`` times from ``clients`` connections; returns seconds per login."""
        now = int(time.time())
        claims = {
            "iss": "https://v/t/default", "aud": _AUDIENCE, "sub": "w:bench", "iat": now, "nbf": now, "exp": now + 300,
            "root": "vendor", "simulated": "false", "workload": "bench",
        }  # fmt: skip
        bodies = [
            json.dumps({"role": "bench", "jwt": jwt.encode({**claims, "jti": str(n)}, self._key, algorithm="ES256")})
            for n in range(LOGINS)
        ]
        job = {"port": self._port, "path": "/v1/auth/jwt/login", "media_type": "application/json", "bodies": bodies}
        path = self._scratch / "logins.json"
        path.write_text(json.dumps({**job, "clients": clients}), encoding="utf-8")
        answer = json.loads(pinned(core, [sys.executable, "-m", "benchmarks.attest.load", str(path)]))
        if answer["good"] != LOGINS:
            raise DemoError(f"vault: {LOGINS - answer['good']} logins were refused")
        return float(answer["seconds"]) / LOGINS


@contextmanager
def vault_login(folder: Path, processes: Processes, core: int) -> Iterator[VaultLogin]:
    """Run Vault on one core until the block ends."""
    binary = os.environ.get("VAULT_BIN") or real_part("vault")
    port, token = hold_port_pair(), secrets.token_urlsafe(24)
    process = processes.start(
        "vault",
        [binary, "server", "-dev", f"-dev-listen-address=127.0.0.1:{port}", "-dev-no-store-token", "-log-level=error"],
        env={"VAULT_DEV_ROOT_TOKEN_ID": token, "HOME": str(folder), "GOMAXPROCS": "1"},
    )
    os.sched_setaffinity(process.pid, {core})
    login = VaultLogin(port, token, folder)
    processes.wait_for("vault", login.is_up)
    login.configure()
    try:
        yield login
    finally:
        processes.stop("vault")
