"""A verifier laid out in a folder of its own and served for real: used by the demo, the end-to-end tests, the benchmarks."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tools.demo.processes import DemoError, Processes, hold_port
from tools.demo.tls import make_server_tls
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.settings_source import load_settings
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.store import SqlStore, open_store


def _toml(values: Mapping[str, Any]) -> str:
    # JSON's strings, numbers, booleans and arrays of strings are TOML's as well.
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


# The ``verifier`` of this checkout, as a command line begins.
VERIFIER = (sys.executable, "-m", "verifier.cli")


def run_program(module: str, *arguments: str) -> dict[str, Any]:
    """Run one of our own commands with ``--format json``; anything but success is a ``DemoError`` with its words."""
    return _answer_of([sys.executable, "-m", module, *arguments])


def _answer_of(command: Sequence[str]) -> dict[str, Any]:
    done = subprocess.run([*command, "--format", "json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoError(f"{' '.join(command)} left with {done.returncode}: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@dataclass(frozen=True, slots=True)
class VerifierFolder:
    """Everything that one verifier needs, on disk; ``root_file`` is the offline root, which no verifier ever reads."""

    path: Path
    port: int
    admin_port: int  # health and metrics, without TLS
    ca_file: Path
    settings_file: Path
    root_jwk: Mapping[str, str] = field(repr=False)

    @property
    def base_url(self) -> str:
        """The URL that issuers start with."""
        return f"https://127.0.0.1:{self.port}"

    def issuer(self, tenant: str = "default") -> str:
        """The tenant's issuer URL."""
        return f"{self.base_url}/t/{tenant}"

    def session(self) -> requests.Session:
        """A client that trusts this verifier's CA and nothing that the environment names."""
        session = requests.Session()
        session.trust_env = False
        session.verify = str(self.ca_file)
        return session

    @contextmanager
    def store(self) -> Iterator[SqlStore]:
        """Open the verifier's database, as its operator may, who has the key file."""
        settings = load_settings(str(self.settings_file), {})
        keys = KeyFile.from_settings(settings)
        store = open_store(settings.database_url, Sealer(keys.master))
        try:
            yield store
        finally:
            store.close()

    def is_ready(self) -> bool:
        """Ask ``/readyz``."""
        try:
            return self.admin("/readyz").ok
        except requests.RequestException:
            return False

    def admin(self, path: str) -> requests.Response:
        """GET a path of the operator's listener."""
        with self.session() as session:
            return session.get(f"http://127.0.0.1:{self.admin_port}{path}", timeout=30)


def lay_verifier(
    path: Path,
    *,
    trust_dir: Path | None = None,
    simulated: bool = False,
    settings: Mapping[str, Any] | None = None,
    verifier: Sequence[str] = VERIFIER,
    has_admin: bool = True,
) -> VerifierFolder:
    """Make certificates, keys and settings for a verifier on a port that this process holds. ``settings`` overrides single values.

    ``verifier``: how the command line of the one that is to be served begins, where it is not this checkout's. ``has_admin`` false:
    one of before the operator's listener, which answers for its health where it answers for everything.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    port = hold_port()
    admin_port = hold_port() if has_admin else port
    ca_file, certificate, key = make_server_tls(path, "verifier")
    passphrase, root_passphrase = path / "keys.passphrase", path / "root.passphrase"
    for file in (passphrase, root_passphrase):
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32), encoding="ascii")
    for name in ("anchors", "endorsements", "trust"):
        (path / name).mkdir(exist_ok=True)
    base_url = f"https://127.0.0.1:{port}"
    values: dict[str, Any] = {
        "base_url": base_url,
        "bind": f"127.0.0.1:{port}",
        "tls_certificate": str(certificate),
        "tls_key": str(key),
        "simulated": simulated,
        "database_url": f"sqlite:///{path / 'verifier.db'}",
        "key_file": str(path / "keys.json"),
        "key_passphrase_file": str(passphrase),
        "trust_dir": str(trust_dir or path / "trust"),
        "endorsement_dir": str(path / "endorsements"),
        "collateral_dir": str(path / "collateral"),
        "private_anchor_dir": str(path / "anchors"),
        **({"admin_bind": f"127.0.0.1:{admin_port}"} if has_admin else {}),
        **(settings or {}),
    }
    settings_file = path / "verifier.toml"
    settings_file.write_text(_toml(values), encoding="utf-8")
    answer = _answer_of([
        *verifier, "keys", "init",
        "--base-url", base_url, "--tenants", ",".join(values.get("tenants", ["default"])),
        "--key-file", values["key_file"], "--passphrase-file", str(passphrase),
        "--root-file", str(path / "root.json"), "--root-passphrase-file", str(root_passphrase),
        *(["--simulated"] if simulated else []),
    ])  # fmt: skip
    return VerifierFolder(path, port, admin_port, ca_file, settings_file, answer["root"])


def serve(processes: Processes, name: str, folder: VerifierFolder) -> None:
    """Start ``verifier serve`` and wait until it can issue tokens."""
    processes.start(name, [sys.executable, "-m", "verifier.cli", "serve", "--config", str(folder.settings_file)])
    processes.wait_for(name, folder.is_ready)
