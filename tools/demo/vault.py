"""A real Vault for the demo (``vault server -dev-tls``) and the Terraform run that lets the verifier's tokens in."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tools.demo.processes import ROOT, DemoError, Processes, hold_port_pair, real_part


@dataclass(frozen=True, slots=True)
class Vault:
    """A running Vault. The root token never leaves this record and the environment of Terraform."""

    address: str
    ca_file: Path
    root_token: str = field(repr=False)

    def call(self, method: str, path: str, *, token: str | None = None, body: Any = None) -> requests.Response:
        """Call ``/v1/{path}`` under Vault's own CA."""
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(self.ca_file)
            headers = {"X-Vault-Token": token} if token else {}
            return session.request(method, f"{self.address}/v1/{path}", headers=headers, json=body, timeout=30)

    def put_secret(self, path: str, data: Mapping[str, str]) -> None:
        """Write a KV version 2 secret, as its owner would."""
        done = self.call("POST", f"secret/data/{path}", token=self.root_token, body={"data": dict(data)})
        if not done.ok:
            raise DemoError(f"vault: writing {path}: {done.status_code}")

    def login(self, mount: str, role: str, jwt: str) -> requests.Response:
        """Log in with a JWT, as any host on the network could."""
        return self.call("POST", f"auth/{mount}/login", body={"role": role, "jwt": jwt})

    def is_up(self) -> bool:
        """Tell whether it answers and its KV mount is there."""
        try:
            return self.ca_file.exists() and self.call("GET", "secret/config", token=self.root_token).ok
        except requests.RequestException:
            return False


def start_vault(folder: Path, processes: Processes) -> Vault:
    """Start Vault with TLS of its own on a port that this process holds."""
    binary = os.environ.get("VAULT_BIN") or real_part("vault")
    folder.mkdir(parents=True, exist_ok=True)
    address, token = f"127.0.0.1:{hold_port_pair()}", secrets.token_urlsafe(24)
    processes.start(
        "vault",
        [binary, "server", "-dev-tls", f"-dev-tls-cert-dir={folder}", f"-dev-listen-address={address}",
         "-dev-no-store-token", "-log-level=warn"],
        # By the environment: a command line is everybody's to read.
        env={"VAULT_DEV_ROOT_TOKEN_ID": token, "HOME": str(folder), "VAULT_ADDR": ""},
    )  # fmt: skip
    vault = Vault(f"https://{address}", folder / "vault-ca.pem", token)
    processes.wait_for("vault", vault.is_up)
    return vault


def apply_terraform(vault: Vault, folder: Path, trust_dir: Path, mounts: Mapping[str, Any]) -> str:
    """Apply ``vault-config/examples/demo`` in a copy, then plan again: a second plan has to find nothing to do."""
    for name in ("vault-config", "policies"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "trust"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("VAULT_", "TF_VAR_"))}
    environment = kept | {
        "VAULT_ADDR": vault.address,
        "VAULT_CACERT": str(vault.ca_file),
        "VAULT_TOKEN": vault.root_token,
        "TF_CLI_CONFIG_FILE": real_part("terraform-config"),
        "TF_IN_AUTOMATION": "1",
        "TF_VAR_trust_dir": str(trust_dir),
        "TF_VAR_mounts": json.dumps(dict(mounts)),
    }
    binary = real_part("terraform")
    where = folder / "vault-config" / "examples" / "demo"
    last = ""
    for arguments in (("init",), ("apply", "-auto-approve"), ("plan", "-detailed-exitcode")):
        done = subprocess.run(
            [binary, *arguments, "-input=false", "-no-color"],
            cwd=where, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode != 0:
            raise DemoError(f"terraform {arguments[0]} left with {done.returncode}:\n{done.stdout}{done.stderr}")
        last = done.stdout if arguments[0] == "apply" else last
    return next((line for line in last.splitlines() if line.startswith("Apply complete")), "")
