"""Published cases of Azure's confidential VMs on SNP, judged offline. Nothing judged here can mint.

The SNP report is judged as a case of ``sev-snp`` is (its policy keys work here too), then the runtime claims' hash, then the AK's
certificate where there is one, then quotes. ``ark.pem`` is never an anchor.
"""

from __future__ import annotations

from typing import Any, Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.platforms.azure import as_read_from_tpm, inner_files, judge_vtpm, vtpm_case_claims
from verifier.cases.platforms.sev_snp import CASE as SNP_CASE
from verifier.cases.platforms.vtpm import POLICY_KEYS
from verifier.cases.words import words_of
from verifier.core.binding import require_bound
from verifier.formats.errors import MalformedEvidence
from verifier.tee.azure.claims import decode_claims, report_data_of
from verifier.tee.azure.layout import REPORT_SNP, HclReport, RuntimeData, decode_hcl, decode_runtime_data
from verifier.tee.azure.report import hcl_claims, runtime_claims
from verifier.tee.azure_snp_vtpm.decode import CLAIMS_ID, HCL_ID, NAME
from verifier.tee.sev_snp.decode import decode

# REPORT_DATA is the runtime claims' hash here: a case that asked for another value would ask for the impossible.
_SNP_KEYS: Final = SNP_CASE.policy_keys - {"report_data"}


def _parts(files: CaseFiles) -> tuple[HclReport | None, bytes, RuntimeData]:
    """Return the HCL report, the SNP report in it and the request data; the last two may come on their own as well."""
    whole, part, report = (files.evidence.get(n) for n in ("hcl_report.bin", "runtime_data.bin", "report.bin"))
    if whole is not None:
        hcl = decode_hcl(as_read_from_tpm(whole), report_type=REPORT_SNP, check_id=HCL_ID)
        return hcl, hcl.hardware, hcl.runtime
    if part is None or report is None:
        raise IncompleteCase(HCL_ID, "evidence: got no hcl_report.bin, want it, or report.bin and runtime_data.bin")
    runtime, _padding = decode_runtime_data(part, report_type=REPORT_SNP, check_id=HCL_ID)
    return None, report, runtime


def _snp_files(files: CaseFiles, report: bytes) -> CaseFiles:
    policy = {key: value for key, value in files.policy.items() if key in _SNP_KEYS}
    return inner_files(files, "sev-snp", {"report.bin": report}, policy)


def _claims(files: CaseFiles) -> dict[str, Any]:
    hcl, report, runtime = _parts(files)
    said: dict[str, Any] = {} if hcl is None else {"hcl": hcl_claims(hcl)}
    try:
        said["runtime_claims"] = runtime_claims(decode_claims(runtime.json, CLAIMS_ID))
        # A version 2 report names no product, and on this platform cases leave it out.
        named = decode({"report": report}).product is not None
        snp = SNP_CASE.claims(_snp_files(files, report))
        said["snp"] = {name: value for name, value in snp.items() if named or name != "product"}
        return {**said, **vtpm_case_claims(files, NAME)}
    except MalformedEvidence:
        return said  # the verdict says what is wrong with it


def _judge(files: CaseFiles) -> CaseVerdict:
    _hcl, report, runtime = _parts(files)
    verdict = SNP_CASE.judge(_snp_files(files, report))
    require_bound(report[0x50:0x90], report_data_of(runtime), f"{NAME}.runtime-claims.digest")
    # What the report does not vouch for is not even read: it is the hash that is wrong then, whatever the bytes are.
    judge_vtpm(files, decode_claims(runtime.json, CLAIMS_ID), NAME)
    return verdict


CASE: Final = CaseForm(
    platform=NAME,
    policy_keys=POLICY_KEYS | _SNP_KEYS,
    claims=_claims,
    judge=_judge,
    words={
        **words_of("azure"),
        "snp": "report of the CPU, made at boot",
        **{f"snp.{n}": t for n, t in SNP_CASE.words.items()},
    },
    bits={f"snp.{name}": bits for name, bits in SNP_CASE.bits.items()},
)
