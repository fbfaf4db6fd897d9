"""The scheme's record: what ``arm_cca`` hands to the registry."""

from __future__ import annotations

from typing import Final

from verifier.tee.arm_cca import layout, rules, verify
from verifier.tee.arm_cca.decode import CcaToken, decode, encode, evidence_claims
from verifier.tee.arm_cca.verify import CcaCollateral
from verifier.tee.scheme import Binding, CollateralOf, Form, Scheme, TokenOf, Verification, appraisal_of

SCHEME: Final[Scheme[CcaToken, CcaCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=True,
    form=Form(
        required=frozenset({"cca_token"}),
        endorsements=frozenset({"cpak"}),
        decode=decode,
        encode=encode,
        claims=evidence_claims,
    ),
    binding=Binding(size="whole", value=lambda token: token.realm.challenge),
    collateral=CollateralOf(needs=verify.needs, collate=verify.collate),
    # Arm has no root: the operator names who endorses platforms.
    verification=Verification(checks=verify.CHECKS, root=verify.root_of),
    appraisal=appraisal_of(
        f"{__package__}.identity",
        rules,
        layout.FIELDS,
        "firmware",
        debug_exceptions=frozenset({"allow_unsecured_lifecycle"}),
    ),
    token=TokenOf(
        measurement=lambda verified, _matched: verified.evidence.realm.initial_measurement.hex(),
        instance=rules.instance,
        debug_status=lambda token: "disabled-since-boot" if token.platform.is_secured else "enabled",
    ),
)
