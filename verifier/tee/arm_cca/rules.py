"""Is the realm wanted, and the platform below it? One id each; docs/tee/arm-cca.md says what each means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope, TrustClaim
from verifier.tee.arm_cca import layout
from verifier.tee.arm_cca.decode import CcaToken, Component
from verifier.tee.arm_cca.verify import CcaCollateral
from verifier.tee.judges import Read, Rows, bins_of, equals, judged_by, none_of, nothing, one_of, registers, say
from verifier.tee.scheme import Bin, Verified

CcaVerified: TypeAlias = Verified[CcaToken, CcaCollateral]
CcaRule: TypeAlias = Rule[CcaVerified]


def _lifecycle(verified: CcaVerified, allowed: Any) -> Judgement:
    platform = verified.evidence.platform
    ok = platform.is_secured or allowed is True
    state = layout.LIFECYCLES.get(platform.lifecycle >> 8, "unknown")
    seen = f"{platform.lifecycle:#06x}"
    return say(ok, seen, f"lifecycle: got {seen} ({state}), want 0x3000 to 0x30ff (secured)")


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
        return nothing(seen, "software", "components")
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


def _registers(verified: CcaVerified) -> Mapping[int, bytes]:
    return dict(enumerate(verified.evidence.realm.extensible_measurements))


def _platform(name: str) -> Read:
    return lambda verified: getattr(verified.evidence.platform, name)


def _realm(name: str) -> Read:
    return lambda verified: getattr(verified.evidence.realm, name)


_ROW: Final = Rows("arm-cca")
_INSTANCE: Final[TrustClaim] = "instance-identity"
# fmt: off
RULES: Final[tuple[CcaRule, ...]] = (
    _ROW("platform.lifecycle", "service.allow_unsecured_lifecycle", _lifecycle, "hardware", "platform_lifecycle",
         default=False),
    _ROW("platform.implementation", "platform.implementation_ids",
         one_of("implementation id", _platform("implementation_id")), "hardware", "platform_implementation_id"),
    _ROW("platform.software", "platform.software", _software, "hardware", "platform_software", "platform_hash_algorithm"),
    _ROW("platform.config", "platform.configurations", one_of("platform configuration", _platform("config")),
         "configuration", "platform_config"),
    _ROW("instance.allow", "platform.instance_allow", one_of("instance id", _platform("instance_id")), _INSTANCE,
         "platform_instance_id"),
    _ROW("instance.deny", "platform.instance_deny", none_of("instance id", _platform("instance_id")), _INSTANCE,
         "platform_instance_id"),
    _ROW("realm.initial-measurement", "firmware.initial_measurement", equals(_realm("initial_measurement"), "RIM"),
         "executables", "realm_initial_measurement", "realm_hash_algorithm"),
    _ROW("realm.extensible-measurements", "workload.extensible_measurements", registers("REM", _registers),
         "executables", "realm_extensible_measurements"),
    _ROW("realm.personalization", "config.personalization_value",
         equals(_realm("personalization_value"), "personalisation value"), "configuration", "realm_personalization_value"),
)
# fmt: on

# What checks tie to the keys or the challenge; what no rule judges is reported.
_BOUND: Final = frozenset(
    {
        *("platform_challenge", "platform_profile", "platform_signature"),
        *("realm_challenge", "realm_profile", "realm_signature", "realm_public_key", "realm_public_key_hash_algorithm"),
    }
)
BINS: Final[Mapping[str, Bin]] = bins_of(layout.FIELDS, judged_by(RULES), bound=_BOUND)


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
