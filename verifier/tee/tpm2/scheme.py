"""The scheme ``tpm2``: a bare TPM 2.0 that was enrolled. The host is *not* excluded: who holds the machine holds its bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.formats.x509chain import Root
from verifier.tee.ima.decode import MeasurementList
from verifier.tee.scheme import Binding, CollateralOf, Form, Need, Scheme, TokenOf, Verification, appraisal_of
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA256
from verifier.tee.tpm2 import rules
from verifier.tee.tpm2.collateral import AK_KIND, AK_NEED, Collateral, decode_enrolled_ak
from verifier.tee.tpm2.decode import OPTIONAL_PARTS, REQUIRED_PARTS, Evidence, decode, encode
from verifier.tee.tpm2.layout import FIELDS
from verifier.tee.tpm2.quote import quote_claims
from verifier.tee.tpm2.rules import Tpm2Verified, measurement
from verifier.tee.tpm2.verify import CHECKS, Tpm2Subject


def _evidence_claims(evidence: Evidence) -> dict[str, Any]:
    claims = {"ak_name": evidence.ak_name.hex(), **quote_claims(evidence.quote)}
    claims["pcrs"] = {bank: {str(i): v.hex() for i, v in values.items()} for bank, values in evidence.banks.items()}
    if evidence.ima is not None:
        claims["ima"] = _ima_claims(evidence, evidence.ima)
    if evidence.log is None:
        return claims
    # What a replayed log proves, not what it says: records outlive the reader who knows the difference.
    proven = proven_secure_boot(evidence.log, SHA256) if evidence.replayed else None
    return {**claims, "log": {**log_claims(evidence.log), "secure_boot": proven}}


def _ima_claims(evidence: Evidence, ima: MeasurementList) -> dict[str, Any]:
    """Say how much of the list the quote bears out; the rest was measured later and counts for nothing."""
    quoted = ima.entries[: evidence.ima_quoted]
    return {
        "entries": len(ima.entries),
        "quoted_entries": len(quoted),
        "template": ",".join(ima.templates),
        "violations": sum(entry.is_violation for entry in quoted),
    }


def _needs(evidence: Evidence, _given: Mapping[str, bytes]) -> tuple[Need, ...]:
    return (Need(name=AK_NEED, kind=AK_KIND, key=evidence.ak_name.hex()),)


def _collate(_evidence: Evidence, unverified: Mapping[str, bytes]) -> Collateral:
    return Collateral(decode_enrolled_ak(unverified[AK_NEED]))


def _root(subject: Tpm2Subject) -> Root:
    # run_checks asks only after ``tpm2.ak.enrolled`` held.
    return "simulated" if subject.collateral.ak is None else subject.collateral.ak.root


def _instance(verified: Tpm2Verified) -> tuple[str, str]:
    return "tpm2-ak", verified.evidence.ak_name.hex()


SCHEME: Scheme[Evidence, Collateral] = Scheme(
    name="tpm2",
    host_excluded=False,
    form=Form(required=REQUIRED_PARTS, optional=OPTIONAL_PARTS, decode=decode, encode=encode, claims=_evidence_claims),
    binding=Binding(size="short", value=lambda evidence: evidence.quote.extra_data),
    collateral=CollateralOf(needs=_needs, collate=_collate),
    verification=Verification(checks=CHECKS, root=_root),
    appraisal=appraisal_of(f"{__package__}.identity", rules, FIELDS, "firmware", "workload"),
    token=TokenOf(
        measurement=measurement,
        instance=_instance,
        # A TPM has no debug mode of its own; what the machine allows is for firmware identities to say.
        debug_status=lambda _evidence: "disabled",
    ),
)
