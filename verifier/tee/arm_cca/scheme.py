"""The scheme's record: what ``arm_cca`` hands to the registry."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from verifier.tee.arm_cca import identity, layout, rules, verify
from verifier.tee.arm_cca.decode import CcaToken, decode, encode, evidence_claims
from verifier.tee.arm_cca.verify import CcaCollateral
from verifier.tee.scheme import Scheme

SCHEME: Final[Scheme[CcaToken, CcaCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=True,
    required_parts=frozenset({"cca_token"}),
    endorsement_names=frozenset({"cpak"}),
    binding_size="whole",
    decode=decode,
    encode=encode,
    bound_value=lambda token: token.realm.challenge,
    needs=verify.needs,
    collate=verify.collate,
    checks=verify.CHECKS,
    anchors=(),  # Arm has no root; whoever endorses platforms is the operator's to name
    rules=rules.RULES,
    identity_models=MappingProxyType(
        {
            "platform": identity.PlatformValues,
            "firmware": identity.FirmwareValues,
            "workload": identity.WorkloadValues,
            "config": identity.ConfigValues,
        }
    ),
    exceptions_model=identity.Exceptions,
    layout_fields=layout.FIELDS,
    bins=rules.BINS,
    evidence_claims=evidence_claims,
    root=verify.root_of,
    measurement=lambda verified, _matched: verified.evidence.realm.initial_measurement.hex(),
    instance=rules.instance,
    debug_exceptions=frozenset({"allow_unsecured_lifecycle"}),
    debug_status=lambda token: "disabled-since-boot" if token.platform.is_secured else "enabled",
    software_classes=frozenset({"firmware"}),
    observe=rules.observe,
)
