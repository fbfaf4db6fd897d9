"""Rules over runtime claims, under the composite's own ids, and the bins of HCL report and claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.core.rules import Rule, Scope
from verifier.tee.azure.claims import CLAIM_FIELDS, RuntimeClaims
from verifier.tee.azure.identity import VmConfiguration
from verifier.tee.azure.layout import HCL_FIELDS
from verifier.tee.azure.verify import ak_digest
from verifier.tee.judges import AnyVerified, Rows, bits, observed_software, one_of
from verifier.tee.scheme import Bin, Scheme
from verifier.tee.vtpm.rules import observed_pcrs, quoted

FIELDS: Final = (*HCL_FIELDS, *CLAIM_FIELDS)
_CLAIM_BINS: Final[Mapping[str, Bin]] = {
    "claims.ak": "rules",
    "claims.other_keys": "reported",
    "claims.vm_configuration": "rules",
    "claims.user_data": "reported",
}
# The header's fields have one value each, or follow from the others: decoding refuses all else.
BINS: Final[Mapping[str, Bin]] = {**dict.fromkeys(HCL_FIELDS, "ignored"), **_CLAIM_BINS}


def _claims(verified: AnyVerified) -> RuntimeClaims:
    found: RuntimeClaims = verified.evidence.claims
    return found


def switches(claims: RuntimeClaims) -> dict[str, Any]:
    """Return vm-configuration's switches under the names that identities use."""
    return {name.replace("-", "_").lower(): value for name, value in claims.vm_configuration.items()}


def _ak(verified: AnyVerified) -> str:
    return ak_digest(_claims(verified))


def _switches(verified: AnyVerified) -> Mapping[str, Any]:
    return switches(_claims(verified))


def azure_rules(row: Rows) -> tuple[Rule[AnyVerified], ...]:
    """Return the rules of the AK and of the virtual machine's configuration."""
    configuration = bits("vm-configuration", _switches)
    return (
        row("ak", "platform.ak_digests", one_of("AK", _ak), "instance-identity", "claims.ak"),
        row("vm-configuration", "firmware.vm_configuration", configuration, "configuration", "claims.vm_configuration"),
    )


def instance(verified: AnyVerified) -> tuple[str, str]:
    """Name the machine by its AK, which the paravisor made for it and keeps with its vTPM."""
    return "azure-vtpm.ak", _ak(verified)


def observed_configuration(verified: AnyVerified, names: frozenset[str]) -> dict[str, Any]:
    """Return the switches of this machine that an identity can name."""
    return {name: value for name, value in switches(_claims(verified)).items() if name in names}


def observed(
    verified: AnyVerified, cpu: Scheme[Any, Any], firmware: Mapping[str, Any]
) -> Mapping[Scope, Mapping[str, Any]]:
    """Return what an identity of this machine says where that is not what a rule saw. ``firmware``: the paravisor's part of it."""
    below: Mapping[str, Any] = cpu.appraisal.observe(verified.inner[cpu.name]).get("platform", {})
    named = observed_configuration(verified, frozenset(VmConfiguration.model_fields))
    return {
        "platform": {**below, "ak_digests": [_ak(verified)]},
        "firmware": {**firmware, "vm_configuration": named or None, **observed_pcrs(verified)},
        "workload": {"pcrs": observed_software(quoted(verified)), "event_log": None},
    }
