"""Is the realm wanted, and the platform below it? One id each; docs/tee/arm-cca.md says what each means."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.arm_cca import layout
from verifier.tee.arm_cca.decode import CcaToken, Component
from verifier.tee.arm_cca.verify import CcaCollateral
from verifier.tee.scheme import Bin, Verified

CcaVerified: TypeAlias = Verified[CcaToken, CcaCollateral]
CcaRule: TypeAlias = Rule[CcaVerified]
Judge: TypeAlias = Callable[[CcaVerified, Any], Judgement]


def _lifecycle(verified: CcaVerified, allowed: Any) -> Judgement:
    platform = verified.evidence.platform
    ok = platform.is_secured or allowed is True
    state = layout.LIFECYCLES.get(platform.lifecycle >> 8, "unknown")
    detail = "" if ok else f"lifecycle: got {platform.lifecycle:#06x} ({state}), want 0x3000 to 0x30ff (secured)"
    return Judgement(ok, f"{platform.lifecycle:#06x}", detail)


def _listed(what: str, read: Callable[[CcaToken], bytes]) -> Judge:
    """Judge bytes of the token: they are on the list."""

    def judge(verified: CcaVerified, expected: Any) -> Judgement:
        seen = read(verified.evidence).hex()
        ok = seen in expected
        return Judgement(ok, seen, "" if ok else f"{what}: got {seen}, want one of {list(expected)}")

    return judge


def _equals(what: str, read: Callable[[CcaToken], bytes]) -> Judge:
    """Judge bytes of the token against exact hex."""

    def judge(verified: CcaVerified, expected: Any) -> Judgement:
        seen = read(verified.evidence).hex()
        ok = hmac.compare_digest(seen, str(expected))
        return Judgement(ok, seen, "" if ok else f"{what}: got {seen}, want {expected}")

    return judge


def _instance_deny(verified: CcaVerified, expected: Any) -> Judgement:
    seen = verified.evidence.platform.instance_id.hex()
    ok = seen not in expected
    return Judgement(ok, seen, "" if ok else f"instance id: got {seen}, want none of the denied")


def _component(component: Component) -> dict[str, str]:
    return {
        "type": component.kind,
        "signer_id": component.signer_id.hex(),
        "measurement": component.measurement.hex(),
        "version": component.version,
    }


def _is_of(component: Component, entry: Mapping[str, Any]) -> bool:
    return (
        entry.get("type") in (None, component.kind)
        and component.signer_id.hex() == entry["signer_id"]
        and component.measurement.hex() in entry["measurements"]
    )


def _software(verified: CcaVerified, expected: Any) -> Judgement:
    """Judge the platform's software as a closed list: nothing unexplained, nothing missing."""
    components = verified.evidence.platform.software
    seen = [_component(component) for component in components]
    if not expected:
        return Judgement(ok=False, seen=seen, detail="software: got nothing to compare, want components")
    wrong = [
        f"component {place} ({component.kind or 'unnamed'}): got measurement {component.measurement.hex()} "
        f"signed by {component.signer_id.hex()}, want it listed"
        for place, component in enumerate(components)
        if not any(_is_of(component, entry) for entry in expected)
    ]
    wrong += [
        f"{entry.get('type') or 'component'} signed by {entry['signer_id']}: got none, want it"
        for entry in expected
        if not any(_is_of(component, entry) for component in components)
    ]
    return Judgement(not wrong, seen, "; ".join(wrong))


def _registers(verified: CcaVerified, expected: Any) -> Judgement:
    """Judge the extensible measurements that are named; none named is a failure."""
    seen = {str(place): value.hex() for place, value in enumerate(verified.evidence.realm.extensible_measurements)}
    if not isinstance(expected, Mapping) or not expected:
        return Judgement(ok=False, seen=seen, detail="extensible_measurements: got nothing to compare, want registers")
    wrong = [f"REM{n}: got {seen.get(n)}, want {want}" for n, want in expected.items() if seen.get(n) != want]
    return Judgement(not wrong, seen, "; ".join(wrong))


RULES: Final[tuple[CcaRule, ...]] = (
    Rule(
        id="arm-cca.platform.lifecycle",
        scope="service",
        field="allow_unsecured_lifecycle",
        judge=_lifecycle,
        layout_fields=("platform_lifecycle",),
        default=False,
        trust_claim="hardware",
        remedy="use a platform in its secured lifecycle state; in any other its makers can debug it",
    ),
    Rule(
        id="arm-cca.platform.implementation",
        scope="platform",
        field="implementation_ids",
        judge=_listed("implementation id", lambda token: token.platform.implementation_id),
        layout_fields=("platform_implementation_id",),
        trust_claim="hardware",
        remedy="list the platform's implementation id in the platform identity's implementation_ids",
    ),
    Rule(
        id="arm-cca.platform.software",
        scope="platform",
        field="software",
        judge=_software,
        layout_fields=("platform_software", "platform_hash_algorithm"),
        trust_claim="hardware",
        remedy="update the platform's firmware, or list its component in the platform identity's software",
    ),
    Rule(
        id="arm-cca.platform.config",
        scope="platform",
        field="configurations",
        judge=_listed("platform configuration", lambda token: token.platform.config),
        layout_fields=("platform_config",),
        trust_claim="configuration",
        remedy="list the platform's configuration in the platform identity's configurations",
    ),
    Rule(
        id="arm-cca.instance.allow",
        scope="platform",
        field="instance_allow",
        judge=_listed("instance id", lambda token: token.platform.instance_id),
        layout_fields=("platform_instance_id",),
        trust_claim="instance-identity",
        remedy="add the chip's instance id to the platform identity's instance_allow",
    ),
    Rule(
        id="arm-cca.instance.deny",
        scope="platform",
        field="instance_deny",
        judge=_instance_deny,
        layout_fields=("platform_instance_id",),
        trust_claim="instance-identity",
        remedy="use another chip: this one is on the platform identity's instance_deny",
    ),
    Rule(
        id="arm-cca.realm.initial-measurement",
        scope="firmware",
        field="initial_measurement",
        judge=_equals("RIM", lambda token: token.realm.initial_measurement),
        layout_fields=("realm_initial_measurement", "realm_hash_algorithm"),
        remedy="start the realm from the image that the firmware identity measured, or measure this one",
    ),
    Rule(
        id="arm-cca.realm.extensible-measurements",
        scope="workload",
        field="extensible_measurements",
        judge=_registers,
        layout_fields=("realm_extensible_measurements",),
        remedy="run in the realm what the workload identity measured, or measure this anew",
    ),
    Rule(
        id="arm-cca.realm.personalization",
        scope="config",
        field="personalization_value",
        judge=_equals("personalisation value", lambda token: token.realm.personalization_value),
        layout_fields=("realm_personalization_value",),
        trust_claim="configuration",
        remedy="create the realm with the SHA-512 of the attester's configuration as personalisation value",
    ),
)

# What checks tie to the keys or the challenge; what is told and judged by nobody; all else is the rules'.
_BOUND: Final = frozenset(
    {
        *("platform_challenge", "platform_profile", "platform_signature"),
        *("realm_challenge", "realm_profile", "realm_signature", "realm_public_key", "realm_public_key_hash_algorithm"),
    }
)
_REPORTED: Final = frozenset({"platform_verification_service", "platform_other", "realm_other"})


def _bin(name: str) -> Bin:
    if name in _BOUND:
        return "bound"
    return "reported" if name in _REPORTED else "rules"


BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: _bin(name) for name in layout.FIELDS})


def instance(verified: CcaVerified) -> tuple[str, str]:
    """Name the chip: its instance id is unique within its implementation."""
    platform = verified.evidence.platform
    return "arm-cca.chip", f"{platform.implementation_id.hex()}-{platform.instance_id.hex()}"


def observe(verified: CcaVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this very machine says."""
    platform = verified.evidence.platform
    software = [
        {
            **({"type": component.kind} if component.kind else {}),
            "signer_id": component.signer_id.hex(),
            "measurements": [component.measurement.hex()],
        }
        for component in platform.software
    ]
    return {
        "platform": {
            "implementation_ids": [platform.implementation_id.hex()],
            "software": software,
            "configurations": [platform.config.hex()],
            "instance_allow": [platform.instance_id.hex()],
            "instance_deny": [],
        }
    }
