"""CASES: the case form by which published evidence of a platform is judged offline, loaded when it is asked for.

A platform is a scheme, or evidence that stands beside others and never mints (event logs, IMA lists).
"""

from __future__ import annotations

from typing import Final

from verifier.cases.form import CaseForm
from verifier.tee.loading import Loaded

_MODULES: Final = (
    "arm_cca",
    "aws_nitro",
    "aws_nitrotpm",
    "azure_snp_vtpm",
    "azure_tdx_vtpm",
    "gcp_vtpm",
    "nvidia_gpu",
    "sev_snp",
    "sgx",
    "tdx",
    "tpm2",
    "tcg_eventlog",
    "ccel",
    "ima",
)

CASES: Final[Loaded[CaseForm]] = Loaded(
    ((module.replace("_", "-"), f"{__package__}.platforms.{module}") for module in _MODULES), "CASE", "platform"
)
