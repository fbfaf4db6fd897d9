"""A real Vault takes what was minted here, in every algorithm and through a rotation, and nothing else that was signed here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.https import documents_handler, https_server
from tests.support.keyfiles import RULES, KeyFolder
from tests.support.signing import APPRAISAL, WORKLOAD, AnswerMaker, claims_of, new_key
from tests.support.vault import VaultServer, vault_server
from verifier.adapters.keys.ceremony import create_key_file
from verifier.adapters.keys.signer_file import KeyFile
from verifier.core.ports import SigningKey
from verifier.core.settings import ALGORITHMS
from verifier.token.jwks import DISCOVERY_PATH, JWKS_PATH
from verifier.token.mint import mint, mint_self, mintable

LEAD = RULES.lead_s


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """Run one Vault for all tests here."""
    with vault_server(tmp_path_factory.mktemp("vault")) as server:
        yield server


class Issuer:
    """Key file and the two public documents, served as the verifier does; ``now`` is moved by the test."""

    base_url: str
    ca_file: Path
    keys: KeyFile

    def __init__(self, folder: KeyFolder) -> None:
        self.folder, self.now = folder, int(time.time())

    def document(self, path: str) -> bytes:
        """Return the bytes under a path."""
        ask = {f"/t/default{JWKS_PATH}": self.keys.jwks, f"/t/default{DISCOVERY_PATH}": self.keys.discovery}.get(path)
        return ask("default", self.now)[0] if ask else b""

    def token(self, key: SigningKey | None = None, **given: Any) -> str:
        """Mint a token that is good now by Vault's clock."""
        claims = claims_of(now=int(time.time()), issuer=f"{self.base_url}/t/default", **given)
        ready = mintable(claims, APPRAISAL, simulated=False)
        return mint(ready, key or self.keys.signing_key("default", self.now))


@contextmanager
def served(path: Path, algorithm: Any) -> Iterator[Issuer]:
    """Make keys and serve their public documents over HTTPS."""
    issuer = Issuer(KeyFolder(path))
    with https_server(path, "issuer", documents_handler(issuer.document)) as server:
        issuer.base_url, issuer.ca_file = server.url, server.ca_file
        for name, paths in (("k", issuer.folder.keys), ("r", issuer.folder.root)):
            paths.passphrase_file.write_text(name * 32)
        given: Any = {"base_url": issuer.base_url, "tenants": ["default"], "simulated": False, "now": issuer.now}
        create_key_file(issuer.folder.keys, issuer.folder.root, algorithm=algorithm, **given)
        issuer.keys = issuer.folder.open(base_url=issuer.base_url)
        yield issuer


def trust(vault: VaultServer, issuer: Issuer, mount: str, *, discovery: bool = False) -> None:
    """Let a mount of this Vault trust the issuer, with a role that binds what every role binds."""
    vault.as_root("POST", f"sys/auth/{mount}", {"type": "jwt"})
    base, ca_pem = f"{issuer.base_url}/t/default", issuer.ca_file.read_text()
    source = (
        {"oidc_discovery_url": base, "oidc_discovery_ca_pem": ca_pem}
        if discovery
        else {"jwks_url": base + JWKS_PATH, "jwks_ca_pem": ca_pem}
    )
    vault.as_root("POST", f"auth/{mount}/config", {**source, "bound_issuer": base})
    bound = {
        "root": ["vendor"],
        "simulated": ["false"],
        "host_excluded": ["true"],
        "dbgstat": ["disabled"],
        "tenant": ["default"],
    }
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": [WORKLOAD.audience],
        "bound_claims": {**bound, "/submods/sev-snp/ear_status": ["affirming"]},
        "claim_mappings": {"tenant": "tenant", "workload": "workload", "jti": "jti", "policy_digest": "policy_digest"},
        "clock_skew_leeway": 5,
    }
    vault.as_root("POST", f"auth/{mount}/role/workload", role)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_vault_takes_every_algorithm(vault: VaultServer, tmp_path: Path, algorithm: str) -> None:
    with served(tmp_path / "issuer", algorithm) as issuer:
        trust(vault, issuer, f"alg-{algorithm.lower()}", discovery=algorithm == "EdDSA")
        answer = vault.login(f"alg-{algorithm.lower()}", "workload", issuer.token())
        assert answer.status == 200, answer.errors
        metadata = answer.body["auth"]["metadata"]
        assert {name: metadata[name] for name in ("tenant", "workload")} == {"tenant": "default", "workload": "cat"}


def test_no_login_fails_while_keys_rotate_and_the_old_key_is_served_to_its_end(
    vault: VaultServer, tmp_path: Path
) -> None:
    with served(tmp_path / "issuer", "ES256") as issuer:
        trust(vault, issuer, "rotating")
        start = issuer.now
        old = issuer.keys.signing_key("default", start)
        assert issuer.keys.rotate_now(start) == ("default",)
        for issuer.now in (start, start + LEAD - 1, start + LEAD, start + LEAD + 60):
            answer = vault.login("rotating", "workload", issuer.token())
            assert answer.status == 200, answer.errors
        assert issuer.keys.signing_key("default", issuer.now).kid != old.kid
        answer = vault.login("rotating", "workload", issuer.token(old))
        assert answer.status == 200, answer.errors


def test_vault_takes_nothing_else_that_was_signed_here(vault: VaultServer, tmp_path: Path) -> None:
    with served(tmp_path / "issuer", "ES256") as issuer:
        trust(vault, issuer, "strict")
        issuer_url, now = f"{issuer.base_url}/t/default", int(time.time())
        answer_key, key_set = issuer.keys.answer_key("default", issuer.now)
        signer = issuer.keys.signing_key("default", issuer.now)
        maker = AnswerMaker(answer_key=answer_key, token_key=signer)
        own = {"issuer": issuer_url, "audience": WORKLOAD.audience, "now": now, "jti": "jti-of-a-test-0002"}
        attempts = {
            "an answer": maker.sign(key_set=key_set).decode(),
            "a set of answer keys": key_set,
            "a token by an answer key": issuer.token(answer_key),
            "a token by a key under a published kid": issuer.token(replace(new_key(), kid=signer.kid)),
            "a token by a key that is not in the JWKS": issuer.token(new_key()),
            "the verifier's own login": mint_self(subject="v:revoker", key=signer, simulated=False, **own),
        }
        for what, token in attempts.items():
            assert vault.login("strict", "workload", token).status == 400, what
        assert vault.login("strict", "workload", issuer.token()).status == 200
