"""The scheme's record: what ``tdx`` hands to the registry."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from verifier.tee.dcap.claims import evidence_claims
from verifier.tee.dcap.decode import TdReport
from verifier.tee.dcap.endorse import ENDORSEMENTS, DcapCollateral
from verifier.tee.dcap.scheme import dcap_scheme
from verifier.tee.scheme import Form, Scheme, appraisal_of
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tdx import rules, verify
from verifier.tee.tdx.decode import Evidence, decode, encode
from verifier.tee.tdx.layout import FIELDS, NAME

_RTMR0: Final = 1  # CC measurement register


def _measurement(report: TdReport) -> str:
    """SHA-384 of MRTD and the four RTMRs (docs/claims.md)."""
    return hashlib.sha384(report.mrtd + b"".join(report.rtmrs)).hexdigest()


def _evidence_claims(evidence: Evidence) -> dict[str, Any]:
    claims = evidence_claims(evidence.quote)
    if evidence.log is None:
        return claims
    # What a replayed log proves, not what it says: records outlive the reader who knows the difference.
    proven = proven_secure_boot(evidence.log, SHA384, _RTMR0) if evidence.replayed else None
    return {**claims, "log": {**log_claims(evidence.log), "secure_boot": proven}}


SCHEME: Final[Scheme[Any, DcapCollateral]] = dcap_scheme(
    NAME,
    form=Form(
        required=frozenset({"quote"}),
        optional=frozenset({"eventlog"}),
        endorsements=ENDORSEMENTS,
        decode=decode,
        encode=encode,
        claims=_evidence_claims,
    ),
    checks=verify.CHECKS,
    appraisal=appraisal_of(f"{__package__}.identity", rules, FIELDS, "firmware", "workload"),
    measurement=_measurement,
)
