"""Bytes to records: HCL report with the SNP report and the runtime claims inside, and the vTPM's quote. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from verifier.tee.azure.claims import RuntimeClaims, decode_claims
from verifier.tee.azure.layout import REPORT_SNP, HclReport, decode_hcl, encode_hcl
from verifier.tee.azure.report import hcl_claims, runtime_claims
from verifier.tee.sev_snp import decode as snp
from verifier.tee.sev_snp.decode import Report
from verifier.tee.vtpm.quote import VtpmQuote, decode_parts, encode_parts, vtpm_claims

NAME: Final = "azure-snp-vtpm"
HCL_REPORT: Final = "hcl_report"
HCL_ID: Final = "azure-snp-vtpm.decode.hcl_report"
CLAIMS_ID: Final = "azure-snp-vtpm.decode.runtime-claims"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was read, unverified."""

    hcl: HclReport
    claims: RuntimeClaims
    report: Report
    tpm: VtpmQuote


def read_hcl(data: bytes) -> tuple[HclReport, RuntimeClaims, Report]:
    """Read the HCL report and what is in it."""
    hcl = decode_hcl(data, report_type=REPORT_SNP, check_id=HCL_ID)
    return hcl, decode_claims(hcl.runtime.json, CLAIMS_ID), snp.decode({"report": hcl.hardware})


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; ``MalformedEvidence`` under ``azure-snp-vtpm.decode.<part>``, or the SNP report's own ids."""
    hcl, claims, report = read_hcl(unverified_parts[HCL_REPORT])
    return Evidence(hcl, claims, report, decode_parts(unverified_parts, NAME))


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back: structures anew, JSON and log as they were kept."""
    return {HCL_REPORT: encode_hcl(evidence.hcl), **encode_parts(evidence.tpm)}


def evidence_claims(evidence: Evidence) -> dict[str, Any]:
    """What the evidence says, under the names of published cases."""
    return {
        "hcl": hcl_claims(evidence.hcl),
        "runtime_claims": runtime_claims(evidence.claims),
        "snp": snp.evidence_claims(evidence.report),
        "tpm": vtpm_claims(evidence.tpm),
    }
