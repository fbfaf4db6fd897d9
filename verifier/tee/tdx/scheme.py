"""The scheme's record: what ``tdx`` hands to the registry."""

from __future__ import annotations

import hashlib
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from verifier.tee.dcap import endorse
from verifier.tee.dcap.claims import evidence_claims
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.marks import marks_of
from verifier.tee.dcap.rules import instance, tcb_status
from verifier.tee.dcap.verify import ANCHORS, root_of
from verifier.tee.scheme import Scheme
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tdx import identity, rules, verify
from verifier.tee.tdx.decode import Evidence, decode, encode
from verifier.tee.tdx.layout import FIELDS, NAME

_RTMR0: Final = 1  # CC measurement register


def _measurement(evidence: Evidence) -> str:
    """SHA-384 of MRTD and the four RTMRs (design.md section 4, "Token")."""
    report = evidence.report
    return hashlib.sha384(report.mrtd + b"".join(report.rtmrs)).hexdigest()


def _evidence_claims(evidence: Evidence) -> dict[str, Any]:
    claims = evidence_claims(evidence.quote)
    if evidence.log is None:
        return claims
    # What a replayed log proves, not what it says: records outlive the reader who knows the difference.
    proven = proven_secure_boot(evidence.log, SHA384, _RTMR0) if evidence.replayed else None
    return {**claims, "log": {**log_claims(evidence.log), "secure_boot": proven}}


SCHEME: Final[Scheme[Evidence, DcapCollateral]] = Scheme(
    name=NAME,
    host_excluded=True,
    required_parts=frozenset({"quote"}),
    optional_parts=frozenset({"eventlog"}),
    endorsement_names=endorse.ENDORSEMENTS,
    binding_size="whole",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.report.report_data,
    needs=lambda evidence, have: endorse.needs(NAME, evidence.quote, have),
    collate=lambda evidence, given: endorse.collate(NAME, evidence.quote, given),
    checks=verify.CHECKS,
    anchors=ANCHORS,
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
    layout_fields=FIELDS,
    bins=rules.BINS,
    evidence_claims=_evidence_claims,
    root=root_of(NAME),
    measurement=lambda verified, _matched: _measurement(verified.evidence),
    instance=instance,
    # EAT dbgstat (RFC 9711 section 4.2.9): TDATTRIBUTES are fixed at launch.
    debug_status=lambda evidence: "enabled" if evidence.report.is_debug else "disabled-since-boot",
    tcb_status=tcb_status,
    mandatory_rules=frozenset({"tdx.tcb.supported", "tdx.config"}),
    marks=partial(marks_of, NAME),
    software_classes=frozenset({"firmware", "workload"}),
)
