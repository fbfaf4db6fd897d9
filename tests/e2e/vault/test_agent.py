"""Vault Agent with the configuration that is shipped, paths and addresses put in: two tokens, one after the other."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.vault import ROOT
from tests.support.waiting import wait_for

SHIPPED = ROOT / "vault-config" / "agent" / "agent.hcl"


def configure(house: Any, folder: Path) -> Path:
    """Put this house's names into the shipped file; every one of them has to be in it."""
    text = SHIPPED.read_text()
    for shipped, here in (
        ("https://vault.example.com:8200", house.vault.address),
        ("/etc/attestation/vault-ca.pem", str(house.vault.ca_file)),
        ("/run/attestation/", f"{folder}/"),
        ("auth/attestation-default", "auth/attestation-acme"),
        ('role = "confidential"', 'role = "shared"'),
        ("secret/data/default/web/db", "secret/data/acme/web/db"),
        (".Data.data.password", ".Data.data.at"),
    ):
        assert shipped in text, shipped
        text = text.replace(shipped, here)
    path = folder / "agent.hcl"
    path.write_text(text)
    return path


@contextmanager
def running_agent(house: Any, folder: Path) -> Iterator[Path]:
    """Run the agent, with nobody's Vault token in its environment; yields its log."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("VAULT_")} | {"HOME": str(folder)}
    log = folder / "agent.log"
    with log.open("wb") as said:
        process = subprocess.Popen(
            [house.vault.binary, "agent", f"-config={configure(house, folder)}"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        yield log
    finally:
        process.terminate()
        process.wait(timeout=10)


def hand_over(folder: Path, jwt: str) -> None:
    """Write as the attester does: whole, private, and then in place."""
    fresh = folder / ".token.jwt"
    fresh.touch(mode=0o600)
    fresh.write_text(jwt)
    fresh.rename(folder / "token.jwt")


def test_the_agent_logs_in_with_each_new_token_and_leaves_none_behind(house: Any, tmp_path: Path) -> None:
    jwt_file, sink, secret = tmp_path / "token.jwt", tmp_path / "vault-token", tmp_path / "secrets" / "db.env"
    hand_over(tmp_path, house.issuer.mint("acme", house.claims("web")))

    with running_agent(house, tmp_path):
        wait_for(secret.exists)
        assert secret.read_text() == "DB_PASSWORD=acme/web/db\n"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(sink.stat().st_mode) == 0o600
        assert not jwt_file.exists()
        first = sink.read_text()

        hand_over(tmp_path, house.issuer.mint("acme", house.claims("web")))

        wait_for(lambda: sink.read_text() not in ("", first))
        wait_for(lambda: not jwt_file.exists())
        assert house.can_read(sink.read_text(), "acme/web/db")


def test_the_agent_gets_nothing_with_a_refused_token(house: Any, tmp_path: Path) -> None:
    hand_over(tmp_path, house.issuer.mint("acme", house.claims("web") | {"simulated": "true"}))

    with running_agent(house, tmp_path) as log:
        wait_for(lambda: "error validating claims" in log.read_text())

    assert not (tmp_path / "vault-token").exists()
    assert not (tmp_path / "secrets").exists()
