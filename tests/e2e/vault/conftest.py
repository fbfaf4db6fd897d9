"""One real Vault, two tenants applied by the module, secrets to be read and not to be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.issuer import Issuer, claims_for, running_issuer, workload_uuid
from tests.support.terraform import Terraform, copy_modules, terraform
from tests.support.vault import VaultAnswer, VaultServer, vault_server

ROLES: dict[str, dict[str, Any]] = {
    "shared": {"kind": "workload"},
    "machine": {"kind": "instance"},
    "state": {"kind": "measurement", "tees": ["sev-snp"]},
    "written-out": {"kind": "workload", "static_policy": True},
    "brief": {"kind": "workload", "token_ttl": 1},
    "elsewhere": {"kind": "workload", "token_bound_cidrs": ["192.0.2.0/24"]},
}
WORKLOADS = {
    "acme": {
        "web": "shared",
        "api": "shared",
        "cat": "shared",
        "box": "machine",
        "gold": "state",
        "silver": "state",
        "solo": "written-out",
        "quick": "brief",
        "far": "elsewhere",
    },
    "rival": {"web": "shared"},
}


def audience(tenant: str) -> str:
    """Return the audience of the tenant's mount."""
    return f"vault:{tenant}"


def mount(tenant: str) -> str:
    """Return the tenant's auth mount."""
    return f"attestation-{tenant}"


def module_variables(issuer: Issuer, tenant: str) -> dict[str, Any]:
    """Return the module's variables for one tenant of these tests."""
    workloads = [
        {
            "document": "workload",
            "uuid": workload_uuid(owner, name),
            "name": name,
            "tenant": owner,
            "policy": "web",
            "audience": audience(owner),
            "vault": {"address": "https://vault.example", "ca_pem": "", "mount": mount(owner), "role": role},
            "labels": {"team": name},
        }
        for owner, names in WORKLOADS.items()
        for name, role in names.items()
    ]
    used = set(WORKLOADS[tenant].values())
    return {
        "tenant": tenant,
        "issuer": issuer.issuer(tenant),
        "ca_pem": issuer.ca_file.read_text(),
        "audience": audience(tenant),
        "workloads": workloads,
        "roles": {name: role for name, role in ROLES.items() if name in used},
    }


@dataclass(frozen=True, slots=True)
class House:
    """A Vault with both tenants in it."""

    vault: VaultServer
    issuer: Issuer
    modules: dict[str, Terraform]

    def claims(self, workload: str, *, tenant: str = "acme", machine: str = "01") -> dict[str, Any]:
        """Return an honest token's claims."""
        return claims_for(self.issuer, tenant, workload, audience(tenant), machine=machine)

    def present(self, role: str, claims: dict[str, Any], *, tenant: str = "acme") -> VaultAnswer:
        """Sign the claims with the tenant's key and log in at the tenant's mount."""
        return self.vault.login(mount(tenant), role, self.issuer.mint(tenant, claims))

    def token(self, role: str, claims: dict[str, Any], *, tenant: str = "acme") -> str:
        """Log in and insist on it; returns the Vault token."""
        answer = self.present(role, claims, tenant=tenant)
        assert answer.status == 200, answer.errors
        token: str = answer.body["auth"]["client_token"]
        return token

    def read(self, token: str, path: str) -> VaultAnswer:
        """Read a KV version 2 secret with a token."""
        return self.vault.call("GET", f"secret/data/{path}", token=token)

    def can_read(self, token: str, path: str) -> bool:
        """Tell whether a token reads a secret that is there; a refusal has to be a refusal and nothing else."""
        answer = self.read(token, path)
        assert answer.status in (200, 403), answer
        if answer.status == 200:
            assert answer.body["data"]["data"] == {"at": path}
        return answer.status == 200


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Start Vault and issuer, apply the module for both tenants."""
    folder = tmp_path_factory.mktemp("vault")
    with vault_server(folder) as vault, running_issuer(folder, (*WORKLOADS, "default")) as issuer:
        modules = {}
        for tenant in WORKLOADS:
            module = terraform(vault, copy_modules(folder / tenant), module_variables(issuer, tenant))
            module.init()
            module.apply()
            modules[tenant] = module
        ready = House(vault, issuer, modules)
        for path in secret_paths(ready):
            vault.put_secret(path, {"at": path})
        yield ready


def secret_paths(house: House) -> Iterator[str]:
    """List the secrets that are in Vault: workloads', two machines', one measured state's, and somebody else's."""
    for tenant, names in WORKLOADS.items():
        for name in names:
            yield f"{tenant}/{name}/db"
    for machine in ("01", "02"):
        yield f"acme/_instance/box/{house.claims('box', machine=machine)['instance']}/key"
    yield f"acme/_measurement/sev-snp/web/{house.claims('gold')['measurement_id']}/key"
    yield "acme/db"
    yield "other"


@pytest.fixture
def empty_vault(tmp_path: Path) -> Iterator[VaultServer]:
    """Start a Vault that nothing was applied to."""
    with vault_server(tmp_path) as vault:
        yield vault


@pytest.fixture
def module_copy(tmp_path: Path) -> Path:
    """Return a copy of `vault-config/`, with `policies/` beside it."""
    return copy_modules(tmp_path)
