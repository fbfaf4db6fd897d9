"""Published cases of Azure's confidential VMs on TDX, judged offline. Nothing judged here can mint.

The TD quote is judged as a case of ``tdx`` is, by the policy's ``tdx``; then its REPORTDATA is held to the runtime claims' hash, the
TDREPORT to the quote where the whole HCL report is there, then the AK's certificate and the vTPM's quotes. A case may bring the
request data alone (``runtime_data.bin``). Without a TD quote nothing vouches for the rest: cannot decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.ids import CaseId
from verifier.cases.platforms.azure import as_read_from_tpm, judge_vtpm, vtpm_case_claims
from verifier.cases.platforms.dcap import POLICY_KEYS as TDX_KEYS
from verifier.cases.platforms.dcap import judge_quote, quote_claims
from verifier.cases.platforms.tdx import CASE as TDX_CASE
from verifier.cases.platforms.vtpm import POLICY_KEYS
from verifier.cases.words import words_of
from verifier.core.binding import require_bound
from verifier.formats.errors import CannotDecide, MalformedEvidence, named
from verifier.tee.azure.claims import decode_claims, report_data_of
from verifier.tee.azure.layout import (
    REPORT_TDX,
    HclReport,
    RuntimeData,
    decode_hcl,
    decode_runtime_data,
    decode_tdreport,
)
from verifier.tee.azure.report import hcl_claims, runtime_claims
from verifier.tee.azure_tdx_vtpm.decode import CLAIMS_ID, HCL_ID, NAME, TDREPORT_ID
from verifier.tee.azure_tdx_vtpm.verify import require_hashes, require_same
from verifier.tee.tdx.scheme import SCHEME as TDX

# Cases of this platform do not state which documents judged the quote; cases of ``tdx`` do.
_NOT_HERE: Final = frozenset({"tcb_evaluation_data_number", "qe_evaluation_data_number"})


def _runtime(files: CaseFiles) -> tuple[HclReport | None, RuntimeData]:
    whole, part = files.evidence.get("hcl_report.bin"), files.evidence.get("runtime_data.bin")
    hcl = None
    if whole is not None:
        hcl = decode_hcl(as_read_from_tpm(whole), report_type=REPORT_TDX, check_id=HCL_ID)
        runtime = hcl.runtime
    elif part is not None:
        runtime, _padding = decode_runtime_data(part, report_type=REPORT_TDX, check_id=HCL_ID)
    else:
        raise IncompleteCase(HCL_ID, "evidence: got neither hcl_report.bin nor runtime_data.bin, want one")
    return hcl, runtime


def _tdx_policy(files: CaseFiles) -> Mapping[str, Any]:
    """Return the policy of the inner quote: the case's ``tdx``, over the same keys beside it."""
    own = files.policy.get("tdx", {})
    if not isinstance(own, dict):
        raise CaseError(f"policy.tdx: got {own!r}, want an object")
    return {**{key: value for key, value in files.policy.items() if key in TDX_KEYS}, **own}


def _claims(files: CaseFiles) -> dict[str, Any]:
    hcl, runtime = _runtime(files)
    said: dict[str, Any] = {} if hcl is None else {"hcl": hcl_claims(hcl)}
    try:
        said["runtime_claims"] = runtime_claims(decode_claims(runtime.json, CLAIMS_ID))
        if "td_quote.bin" in files.evidence:
            tdx = quote_claims(TDX, files.evidence["td_quote.bin"], files)
            said["tdx"] = {name: value for name, value in tdx.items() if name not in _NOT_HERE}
        return {**said, **vtpm_case_claims(files, NAME)}
    except MalformedEvidence:
        return said  # the verdict says what is wrong with it


def _judge(files: CaseFiles) -> CaseVerdict:
    policy = _tdx_policy(files)
    hcl, runtime = _runtime(files)
    quote = files.evidence.get("td_quote.bin")
    if quote is None:
        raise CannotDecide(
            CaseId.TD_QUOTE, "td_quote.bin: got nothing, want it: a TDREPORT's MAC proves nothing off its machine"
        )
    verified, findings = judge_quote(TDX, quote, files, policy)
    report = verified.evidence.report
    require_bound(report.report_data, report_data_of(runtime), f"{NAME}.runtime-claims.digest")
    if hcl is not None:
        tdreport = decode_tdreport(hcl.hardware, check_id=TDREPORT_ID)
        with named("azure-tdx-vtpm.tdreport.hashes"):
            require_hashes(hcl.hardware, tdreport)
        with named("azure-tdx-vtpm.tdreport.quote"):
            require_same(tdreport, report)
    # What the quote does not vouch for is not even read: it is the hash that is wrong then, whatever the bytes are.
    judge_vtpm(files, decode_claims(runtime.json, CLAIMS_ID), NAME)
    return CaseVerdict(findings=findings, root=verified.root, verified=verified)


CASE: Final = CaseForm(
    platform=NAME,
    policy_keys=POLICY_KEYS | TDX_KEYS | {"tdx"},
    claims=_claims,
    judge=_judge,
    words={
        **words_of("azure"),
        "tdx": "quote of the trust domain",
        **{f"tdx.{n}": t for n, t in TDX_CASE.words.items()},
    },
    bits={f"tdx.{name}": bits for name, bits in TDX_CASE.bits.items()},
)
