"""Bytes to records: HCL report with the TDREPORT and the runtime claims inside, the TD quote made of it, the vTPM's quote.

Proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from verifier.tee.azure.claims import RuntimeClaims, decode_claims
from verifier.tee.azure.layout import REPORT_TDX, HclReport, decode_hcl, decode_tdreport, encode_hcl
from verifier.tee.azure.report import hcl_claims, runtime_claims
from verifier.tee.tdx import decode as tdx
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm.quote import VtpmQuote, decode_parts, encode_parts, vtpm_claims

NAME: Final = "azure-tdx-vtpm"
HCL_REPORT: Final = "hcl_report"
TD_QUOTE: Final = "td_quote"
HCL_ID: Final = "azure-tdx-vtpm.decode.hcl_report"
CLAIMS_ID: Final = "azure-tdx-vtpm.decode.runtime-claims"
TDREPORT_ID: Final = "azure-tdx-vtpm.decode.tdreport"


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was read, unverified. ``tdreport`` by the names of ``azure.layout``."""

    hcl: HclReport
    claims: RuntimeClaims
    tdreport: Mapping[str, bytes]
    td: tdx.Evidence
    tpm: VtpmQuote


def read_hcl(data: bytes) -> tuple[HclReport, RuntimeClaims, Mapping[str, bytes]]:
    """Read the HCL report and what is in it."""
    hcl = decode_hcl(data, report_type=REPORT_TDX, check_id=HCL_ID)
    return hcl, decode_claims(hcl.runtime.json, CLAIMS_ID), decode_tdreport(hcl.hardware, check_id=TDREPORT_ID)


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; ``MalformedEvidence`` under ``azure-tdx-vtpm.decode.<part>``, or the TD quote's own id."""
    hcl, claims, tdreport = read_hcl(unverified_parts[HCL_REPORT])
    td = tdx.decode({"quote": unverified_parts[TD_QUOTE]})
    return Evidence(hcl, claims, tdreport, td, decode_parts(unverified_parts, NAME))


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back: structures anew, JSON and log as they were kept."""
    quote = tdx.encode(evidence.td)["quote"]
    return {HCL_REPORT: encode_hcl(evidence.hcl), TD_QUOTE: quote, **encode_parts(evidence.tpm)}


def evidence_claims(evidence: Evidence) -> dict[str, Any]:
    """What the evidence says, under the names of published cases."""
    return {
        "hcl": hcl_claims(evidence.hcl),
        "runtime_claims": runtime_claims(evidence.claims),
        "tdx": TDX.form.claims(evidence.td),
        "tpm": vtpm_claims(evidence.tpm),
    }
