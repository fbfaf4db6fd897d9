"""What an appraisal says: every finding, an honest AR4SI vector, accepted or not (step 6 of docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from verifier.core.rules import Finding, TrustClaim
from verifier.formats.x509chain import Root
from verifier.tee.scheme import Matched

EarStatus = Literal["none", "affirming", "warning", "contraindicated"]


@dataclass(frozen=True, slots=True)
class Workload:
    """What an attester names: compiled from a workload document (docs/trust-documents.md)."""

    uuid: str
    name: str
    tenant: str
    policy: str
    audience: str
    vault_address: str
    vault_ca_pem: str
    vault_mount: str
    vault_role: str
    labels: Mapping[str, str]
    enabled: bool


@dataclass(frozen=True, slots=True)
class Appraisal:
    """The verdict of step 6. ``accepted`` is the policy's; status and vector are never raised by a policy."""

    accepted: bool
    check_id: str  # the first failing rule; "" when accepted
    findings: tuple[Finding, ...]
    matched: tuple[Matched, ...]
    vector: Mapping[TrustClaim, int]
    ear_status: EarStatus
    scheme: str
    policy: str
    policy_digest: bytes
    root: Root
    host_excluded: bool
    bound: bool
    measurement: str
    instance_kind: str
    instance_id: str
    debug_status: str
    debug_allowed: bool  # the policy would let debugging pass, whatever this evidence says of it
    tcb_status: str
    unchecked_classes: frozenset[str]  # identity classes that the policy leaves unchecked as a whole
    evidence_claims: Mapping[str, Any]
