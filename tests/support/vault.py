"""A real Vault for tests: `vault server -dev-tls` with a CA of its own, and a client that trusts nothing else."""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.parts import missing
from tools.demo.processes import hold_port_pair

ROOT = Path(__file__).resolve().parents[2]
# Building Vault from source takes minutes on a small machine; colleagues may be building it already.
_BUILD_SECONDS = 1800
_START_SECONDS = 30


@functools.cache
def part(name: str) -> str:
    """Ask ``tools/parts.py`` for a real part; the test skips, or fails where parts are required, if it has none."""
    answer = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "parts.py"), name],
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if answer.returncode != 0 or not answer.stdout.strip():
        missing(f"tools/parts.py {name}: {answer.stderr.strip()[-500:]}")
    return answer.stdout.strip().splitlines()[-1]


@dataclass(frozen=True, slots=True)
class VaultAnswer:
    """An answer of Vault's API, whatever its status."""

    status: int
    body: Mapping[str, Any]

    @property
    def errors(self) -> str:
        """Vault's own words for a no."""
        return "; ".join(self.body.get("errors") or ())


@dataclass(frozen=True, slots=True)
class VaultServer:
    """A running Vault. ``root_token`` is never printed."""

    address: str
    ca_file: Path
    root_token: str = field(repr=False)
    binary: str

    def call(
        self, method: str, path: str, *, token: str | None = None, body: Mapping[str, Any] | None = None
    ) -> VaultAnswer:
        """Call ``/v1/{path}``; ``token=None`` means nobody's."""
        with requests.Session() as session:
            # The machine's REQUESTS_CA_BUNDLE would override `verify`.
            session.trust_env = False
            session.verify = str(self.ca_file)
            answer = session.request(
                method,
                f"{self.address}/v1/{path}",
                headers=({"X-Vault-Token": token} if token else {})
                | ({"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}),
                json=body,
                timeout=30,
            )
        return VaultAnswer(answer.status_code, answer.json() if answer.content else {})

    def as_root(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> VaultAnswer:
        """Call as root and insist on success."""
        answer = self.call(method, path, token=self.root_token, body=body)
        if answer.status >= 300:
            raise AssertionError(f"{method} {path}: {answer.status}: {answer.errors}")
        return answer

    def put_secret(self, path: str, data: Mapping[str, str], *, mount: str = "secret") -> None:
        """Write a KV version 2 secret."""
        self.as_root("POST", f"{mount}/data/{path}", {"data": dict(data)})

    def login(self, mount: str, role: str, jwt: str) -> VaultAnswer:
        """Log in with a JWT, as anybody on the network could."""
        return self.call("POST", f"auth/{mount}/login", body={"role": role, "jwt": jwt})

    def environment(self) -> dict[str, str]:
        """Return what the vault and terraform programs need to reach this server as root, and nothing of ours besides."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("VAULT_", "TF_"))}
        return kept | {
            "VAULT_ADDR": self.address,
            "VAULT_CACERT": str(self.ca_file),
            "VAULT_TOKEN": self.root_token,
        }


@contextmanager
def vault_server(folder: Path) -> Iterator[VaultServer]:
    """Run a dev Vault with TLS in ``folder`` (CA, log) until the block ends. KV version 2 is mounted at ``secret/``."""
    process, server = _start(part("vault"), folder / "vault")
    try:
        if not _is_up(process, server):
            # What Vault said, without its keys.
            said = [line for line in (folder / "vault" / "vault.log").read_text().splitlines() if "rror" in line]
            raise AssertionError(f"vault does not start: {said[-5:]}")
        yield server
    finally:
        _stop(process)


def _start(binary: str, folder: Path) -> tuple[subprocess.Popen[bytes], VaultServer]:
    folder.mkdir(parents=True)
    address = f"127.0.0.1:{hold_port_pair()}"
    token = secrets.token_urlsafe(24)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("VAULT_")}
    with (folder / "vault.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, "server", "-dev-tls", f"-dev-tls-cert-dir={folder}", f"-dev-listen-address={address}",
             "-dev-no-store-token", "-log-level=warn"],
            # The token goes by the environment: a command line is everybody's to read.
            env=kept | {"VAULT_DEV_ROOT_TOKEN_ID": token, "HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )  # fmt: skip
    return process, VaultServer(f"https://{address}", folder / "vault-ca.pem", token, binary)


def _is_up(process: subprocess.Popen[bytes], server: VaultServer) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if server.ca_file.exists():
            try:
                # KV version 2 is mounted a moment after the server answers.
                if server.call("GET", "secret/config", token=server.root_token).status == requests.codes.ok:
                    return True
            except (OSError, ValueError):
                pass
        time.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
