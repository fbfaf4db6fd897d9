"""Rules over runtime claims, under the composite's own ids, and the bins of HCL report and claims."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.core.rules import Judgement, Rule
from verifier.tee.azure.claims import CLAIM_FIELDS, RuntimeClaims
from verifier.tee.azure.layout import HCL_FIELDS
from verifier.tee.azure.verify import ak_digest
from verifier.tee.scheme import Bin, Verified

AnyVerified = Verified[Any, Any]
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


def _judge_ak(verified: AnyVerified, expected: Any) -> Judgement:
    seen = ak_digest(_claims(verified))
    ok = seen in expected
    return Judgement(ok, seen, "" if ok else f"AK: got {seen}, want one of {len(expected)} listed")


def switches(claims: RuntimeClaims) -> dict[str, Any]:
    """Return vm-configuration's switches under the names that identities use."""
    return {name.replace("-", "_").lower(): value for name, value in claims.vm_configuration.items()}


def _judge_configuration(verified: AnyVerified, expected: Any) -> Judgement:
    seen = switches(_claims(verified))
    if not isinstance(expected, Mapping) or not expected:
        return Judgement(
            ok=False, seen=seen, detail="vm-configuration: got nothing to compare, want at least one switch"
        )
    off = sorted(name for name, value in expected.items() if seen.get(name) is not value)
    detail = "; ".join(f"{name}: got {seen.get(name)}, want {expected[name]}" for name in off)
    return Judgement(not off, seen, detail)


def azure_rules(scheme: str) -> tuple[Rule[AnyVerified], ...]:
    """Return the rules of the AK and of the virtual machine's configuration."""
    return (
        Rule(
            id=f"{scheme}.ak",
            scope="platform",
            field="ak_digests",
            judge=_judge_ak,
            layout_fields=("claims.ak",),
            trust_claim="instance-identity",
            remedy="put the AK's digest into the platform identity, or use a machine that is listed",
        ),
        Rule(
            id=f"{scheme}.vm-configuration",
            scope="firmware",
            field="vm_configuration",
            judge=_judge_configuration,
            layout_fields=("claims.vm_configuration",),
            trust_claim="configuration",
            remedy="create the virtual machine with Secure Boot and vTPM as the firmware identity names them",
        ),
    )


def observed_configuration(verified: AnyVerified, names: frozenset[str]) -> dict[str, Any]:
    """Return the switches of this machine that an identity can name."""
    return {name: value for name, value in switches(_claims(verified)).items() if name in names}
