"""An issuer for tests of the Vault side: HTTPS under a CA of its own, the verifier's documents and claims, per tenant.

Not the verifier: it signs whatever it is told, which the verifier's mint would refuse.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.https import documents_handler, https_server
from tests.support.signing import APPRAISAL, WORKLOAD, claims_of
from verifier.core.ports import SigningKey
from verifier.token.jwks import (
    DISCOVERY_PATH,
    JWKS_PATH,
    PublicKey,
    discovery_document,
    generate_key,
    jwks_document,
    signing_key,
)
from verifier.token.mint import WORKLOAD_TYPE, sign_compact


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A signing key as the verifier makes them (P-256 unless said). Other than mint, it signs whatever it is given."""

    alg: str = "ES256"
    private: Any = None

    def __post_init__(self) -> None:
        if self.private is None:
            object.__setattr__(self, "private", generate_key(self.alg))

    @property
    def key(self) -> SigningKey:
        """The key with its id and its public JWK."""
        return signing_key(self.private, self.alg)

    @property
    def public(self) -> PublicKey:
        """The key as it stands in a JWKS."""
        return PublicKey(self.key.kid, self.alg, self.key.public_jwk)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Sign with the header of a workload's token."""
        return sign_compact(claims, self.key, typ=WORKLOAD_TYPE)


@dataclass(frozen=True, slots=True)
class Issuer:
    """A running issuer. Tenants share the server, never a key."""

    base_url: str
    ca_file: Path
    keys: Mapping[str, TokenKey]
    # In every tenant's JWKS as well: a genuine key of an algorithm that the mounts do not accept.
    p384: TokenKey = field(default_factory=lambda: TokenKey("ES384"))

    def issuer(self, tenant: str) -> str:
        """Return the tenant's issuer URL."""
        return f"{self.base_url}/t/{tenant}"

    def jwks_url(self, tenant: str) -> str:
        """Return where the tenant's keys are."""
        return self.issuer(tenant) + JWKS_PATH

    def mint(self, tenant: str, claims: Mapping[str, Any]) -> str:
        """Sign with the tenant's key; nothing is refused here."""
        return self.keys[tenant].sign(claims)


def workload_uuid(tenant: str, name: str) -> str:
    """Return the same UUID for the same workload in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"vab-test:{tenant}/{name}"))


def claims_for(
    issuer: Issuer, tenant: str, workload: str, audience: str, *, machine: str = "01", policy: str = "web"
) -> dict[str, Any]:
    """Return an honest token's claims, as the verifier builds them now; tests change what they are about."""
    return claims_of(
        replace(APPRAISAL, policy=policy, instance_id=machine),
        replace(
            WORKLOAD,
            uuid=workload_uuid(tenant, workload),
            name=workload,
            tenant=tenant,
            policy=policy,
            audience=audience,
        ),
        issuer=issuer.issuer(tenant),
        now=int(time.time()),
        jti=str(uuid.uuid4()),
    )


@contextmanager
def running_issuer(folder: Path, tenants: tuple[str, ...], *, label: str = "issuer") -> Iterator[Issuer]:
    """Serve discovery and JWKS of ``tenants`` until the block ends."""
    documents: dict[str, bytes] = {}
    with https_server(folder, label, documents_handler(documents.get)) as server:
        issuer = Issuer(server.url, server.ca_file, {tenant: TokenKey() for tenant in tenants})
        for tenant, key in issuer.keys.items():
            discovery = discovery_document(issuer.issuer(tenant), ["ES256"])
            documents[f"/t/{tenant}{DISCOVERY_PATH}"] = discovery.body
            documents[f"/t/{tenant}{JWKS_PATH}"] = jwks_document([key.public, issuer.p384.public]).body
        yield issuer
