"""The scheme ``azure-tdx-vtpm``. The host is excluded: the paravisor runs the vTPM inside what the TDX module protects."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.azure.scheme import azure_scheme
from verifier.tee.azure.verify import ENDORSEMENTS
from verifier.tee.azure_tdx_vtpm import decode, rules, verify
from verifier.tee.scheme import Scheme
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm.scheme import vtpm_form

SCHEME: Final[Scheme[Any, Any]] = azure_scheme(
    decode.NAME,
    TDX,
    lambda evidence: evidence.td,
    form=vtpm_form(
        decode,
        required=frozenset({decode.HCL_REPORT, decode.TD_QUOTE}),
        endorsements=TDX.form.endorsements | ENDORSEMENTS,
    ),
    verify=verify,
    rules=rules,
    identity=f"{__package__}.identity",
)
