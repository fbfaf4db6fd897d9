"""A Vault that cannot get the verifier's keys answers 400, like a refusal. The attester takes it for what it is, and waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from attester.answer import Opened, VaultPlace
from attester.patience import Patience
from attester.vault import Vault, log_in
from tests.support.https import documents_handler, https_server
from tests.support.issuer import Issuer, TokenKey, claims_for, running_issuer
from tests.support.vault import VaultServer
from verifier.formats.errors import CannotDecide, EvidenceRejected
from verifier.token.jwks import jwks_document

AUDIENCE = "vault:acme"


def _sources(issuer: Issuer) -> dict[str, dict[str, Any]]:
    """Return the config of a mount for every way in which Vault gets keys by itself."""
    ca = issuer.ca_file.read_text()
    url, name = issuer.jwks_url("acme"), issuer.issuer("acme")
    return {
        "jwks": {"jwks_url": url, "jwks_ca_pem": ca, "bound_issuer": name},
        "discovery": {"oidc_discovery_url": name, "oidc_discovery_ca_pem": ca, "bound_issuer": name},
        "pairs": {"jwks_pairs": [{"jwks_url": url, "jwks_ca_pem": ca}]},
    }


def _mount(vault: VaultServer, name: str, config: dict[str, Any]) -> None:
    vault.as_root("POST", f"sys/auth/{name}", {"type": "jwt"})
    vault.as_root("POST", f"auth/{name}/config", config)
    role = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE]}
    vault.as_root("POST", f"auth/{name}/role/any", role)


def test_without_the_keys_vault_has_decided_nothing_and_a_wrong_key_is_still_a_no(
    empty_vault: VaultServer, tmp_path: Path
) -> None:
    def client(mount: str) -> Vault:
        return Vault(VaultPlace(empty_vault.address, empty_vault.ca_file.read_text(), mount, "any"))

    with running_issuer(tmp_path, ("acme",)) as issuer:
        sources = _sources(issuer)
        for name, config in sources.items():
            _mount(empty_vault, name, config)
        _mount(empty_vault, "known", sources["jwks"])
        claims = claims_for(issuer, "acme", "web", AUDIENCE)
        token, foreign = issuer.mint("acme", claims), TokenKey().sign(claims)
        client("known").login(token)
        with pytest.raises(EvidenceRejected) as refused:
            client("known").login(foreign)
        assert refused.value.check_id == "attester.vault.login"
    # The issuer is gone. Mounts that never had its keys have to get them now.
    for name in sources:
        with pytest.raises(CannotDecide) as caught:
            client(name).login(token)
        assert caught.value.check_id == "attester.vault.keys", name
    # One that has them still takes a good token; a key that it does not know sends it to the source.
    client("known").login(token)
    with pytest.raises(CannotDecide) as caught:
        client("known").login(foreign)
    assert caught.value.check_id == "attester.vault.keys"


def test_the_attester_is_in_as_soon_as_vault_has_the_keys(empty_vault: VaultServer, tmp_path: Path) -> None:
    """The source is away when the attester comes; the same token is taken once it is back."""
    documents: dict[str, bytes] = {}
    key = TokenKey()
    published = jwks_document([key.public]).body
    with https_server(tmp_path, "source", documents_handler(documents.get)) as source:
        documents["/keys"] = published
        # Vault looks at a source when it is told of it, and gets the keys at the first login.
        _mount(empty_vault, "late", {"jwks_url": f"{source.url}/keys", "jwks_ca_pem": source.ca})
        del documents["/keys"]
        place = VaultPlace(empty_vault.address, empty_vault.ca_file.read_text(), "late", "any")
        issuer = Issuer(source.url, source.ca_file, {"acme": key})
        attested: list[str] = []

        def attest() -> Opened:
            attested.append(key.sign(claims_for(issuer, "acme", "web", AUDIENCE)))
            return Opened(attested[-1], place, 1)

        def come_back(_seconds: float) -> None:
            documents["/keys"] = published

        _, token = log_in(attest, Patience(60, sleep=come_back))
        assert token.value
        assert documents
        assert len(attested) == 1
