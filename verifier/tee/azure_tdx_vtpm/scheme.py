"""The scheme ``azure-tdx-vtpm``. The host is excluded: the paravisor runs the vTPM inside what the TDX module protects."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.azure.scheme import azure_scheme
from verifier.tee.azure.verify import ENDORSEMENTS
from verifier.tee.azure_tdx_vtpm import identity, rules, verify
from verifier.tee.azure_tdx_vtpm.decode import HCL_REPORT, NAME, TD_QUOTE, decode, encode, evidence_claims
from verifier.tee.scheme import Scheme
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm.scheme import vtpm_form

SCHEME: Final[Scheme[Any, Any]] = azure_scheme(
    NAME,
    TDX,
    lambda evidence: evidence.td,
    form=vtpm_form(
        required=frozenset({HCL_REPORT, TD_QUOTE}),
        endorsements=TDX.form.endorsements | ENDORSEMENTS,
        decode=decode,
        encode=encode,
        claims=evidence_claims,
    ),
    verify=verify,
    rules=rules,
    identity=identity,
)
