"""The scheme ``azure-snp-vtpm``. The host is excluded: the paravisor runs the vTPM inside what AMD's firmware protects."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.azure.scheme import azure_scheme
from verifier.tee.azure.verify import ENDORSEMENTS
from verifier.tee.azure_snp_vtpm import decode, rules, verify
from verifier.tee.scheme import Scheme
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.vtpm.scheme import vtpm_form

SCHEME: Final[Scheme[Any, Any]] = azure_scheme(
    decode.NAME,
    SNP,
    lambda evidence: evidence.report,
    # Azure's hosts sign with VCEKs; the ARK is pinned and need not come.
    form=vtpm_form(
        decode, required=frozenset({decode.HCL_REPORT}), endorsements=frozenset({"vcek", "ask"}) | ENDORSEMENTS
    ),
    verify=verify,
    rules=rules,
    identity=f"{__package__}.identity",
)
