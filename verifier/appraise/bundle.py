"""All trust documents together: what refers to what, and what must be there once only. Pure.

A policy and a workload exist in one version at a time, an identity in as many as policies pin. ``ConfigError`` for a name, uuid
or version given twice, an audience that names two Vault mounts, and whatever refers to nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from verifier.appraise.compiled import CompiledPolicy
from verifier.appraise.documents import AppraisalPolicy, Identity, Parsed, Schemes, WorkloadDocument
from verifier.appraise.policy import Resolve, compile_policy
from verifier.appraise.result import Workload
from verifier.appraise.signatures import Demands, check_signature
from verifier.formats.errors import ConfigError

Key = tuple[str, str]  # tenant, name
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Documents:
    """Every document of a folder, by tenant and name."""

    identities: Mapping[Key, Mapping[int, Parsed]]
    policies: Mapping[Key, Parsed]
    workloads: Mapping[Key, Parsed]

    def all(self) -> Iterable[Parsed]:
        """Return every document, identities first."""
        for versions in self.identities.values():
            yield from versions.values()
        yield from self.policies.values()
        yield from self.workloads.values()

    def resolver(self, tenant: str) -> Resolve:
        """Return how a policy of that tenant finds its identities."""

        def resolve(name: str, version: int | None) -> Parsed | None:
            versions = self.identities.get((tenant, name), {})
            return versions.get(version if version is not None else max(versions, default=0))

        return resolve


@dataclass(slots=True)
class _Gathered:
    identities: dict[Key, dict[int, Parsed]] = field(default_factory=dict)
    policies: dict[Key, Parsed] = field(default_factory=dict)
    workloads: dict[Key, Parsed] = field(default_factory=dict)
    uuids: dict[str, Parsed] = field(default_factory=dict)
    audiences: dict[Key, tuple[str, str, str]] = field(default_factory=dict)


def gather(documents: Iterable[Parsed], demands: Demands) -> Documents:
    """Put documents in their places; checks signatures where the tenant demands them."""
    seen = _Gathered()
    for parsed in documents:
        model = parsed.model
        if model.tenant in demands:
            check_signature(parsed, demands[model.tenant])
        key = (model.tenant, model.name)
        if isinstance(model, Identity):
            _put_identity(seen.identities.setdefault(key, {}), parsed, model)
        elif isinstance(model, AppraisalPolicy):
            _put_once(seen.policies, key, parsed, "name", model.name)
        else:
            _put_once(seen.workloads, key, parsed, "name", model.name)
            _put_once(seen.uuids, model.uuid, parsed, "uuid", model.uuid)
            _check_audience(seen.audiences, parsed, model)
    return Documents(seen.identities, seen.policies, seen.workloads)


def _put_identity(versions: dict[int, Parsed], parsed: Parsed, model: Identity) -> None:
    other = next(iter(versions.values()), None)
    if other is not None and isinstance(other.model, Identity):
        before = (other.model.kind, other.model.scheme)
        if before != (model.kind, model.scheme):
            got = f"{model.kind} of {model.scheme}"
            raise ConfigError(parsed.where, "kind", got, f"{before[0]} of {before[1]}, as in {other.where}")
    _put_once(versions, model.version, parsed, "version", f"{model.name}@{model.version}")


def _put_once(table: dict[K, Parsed], key: K, parsed: Parsed, field_name: str, got: str) -> None:
    if key in table:
        raise ConfigError(parsed.where, field_name, got, f"another one: {table[key].where} has it")
    table[key] = parsed


def _check_audience(audiences: dict[Key, tuple[str, str, str]], parsed: Parsed, model: WorkloadDocument) -> None:
    """Refuse an audience that names two mounts: a token for one could be redeemed at the other (docs/adr/0003-trust-documents.md)."""
    key = (model.tenant, model.audience)
    address, mount, where = audiences.setdefault(key, (model.vault.address, model.vault.mount, parsed.where))
    if (address, mount) != (model.vault.address, model.vault.mount):
        got = f"{model.audience} at {model.vault.address}, mount {model.vault.mount}"
        raise ConfigError(parsed.where, "audience", got, f"one Vault mount: {where} has it at {address}, mount {mount}")


def compile_all(documents: Documents, schemes: Schemes) -> dict[Key, CompiledPolicy]:
    """Compile every policy and see that each workload's policy is there."""
    compiled = {
        (tenant, name): compile_policy(parsed, documents.resolver(tenant), schemes)
        for (tenant, name), parsed in documents.policies.items()
    }
    for (tenant, _name), parsed in documents.workloads.items():
        model = parsed.model
        if isinstance(model, WorkloadDocument) and (tenant, model.policy) not in compiled:
            raise ConfigError(parsed.where, "policy", model.policy, f"a policy of tenant {tenant}")
    return compiled


def workload_of(parsed: Parsed) -> Workload:
    """Return a workload document as the service uses it."""
    model = parsed.model
    if not isinstance(model, WorkloadDocument):
        raise TypeError("workload_of takes a workload")
    return Workload(
        uuid=model.uuid,
        name=model.name,
        tenant=model.tenant,
        policy=model.policy,
        audience=model.audience,
        vault_address=model.vault.address,
        vault_ca_pem=sys.intern(model.vault.ca_pem),  # one copy of what thousands of workloads share
        vault_mount=model.vault.mount,
        vault_role=model.vault.role,
        labels=model.labels,
        enabled=model.state == "enabled",
    )
