"""The scheme's record: what ``sgx`` hands to the registry."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.dcap.claims import evidence_claims
from verifier.tee.dcap.endorse import ENDORSEMENTS, DcapCollateral
from verifier.tee.dcap.scheme import dcap_scheme
from verifier.tee.dcap.verify import checks_of
from verifier.tee.scheme import Form, Scheme, appraisal_of
from verifier.tee.sgx import rules
from verifier.tee.sgx.decode import decode, encode
from verifier.tee.sgx.layout import FIELDS, NAME

SCHEME: Final[Scheme[Any, DcapCollateral]] = dcap_scheme(
    NAME,
    form=Form(
        required=frozenset({"quote"}),
        endorsements=ENDORSEMENTS,
        decode=decode,
        encode=encode,
        claims=lambda evidence: evidence_claims(evidence.quote),
    ),
    checks=checks_of(NAME, has_module=False),
    appraisal=appraisal_of(f"{__package__}.identity", rules, FIELDS, "workload"),
    measurement=lambda report: report.mrenclave.hex(),
)
