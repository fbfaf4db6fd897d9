"""SCHEMES: one line a scheme, the name of its folder. A folder that is named twice fails at import.

A folder's ``scheme`` module has its ``SCHEME``. It is loaded when it is asked for: a command that judges one scheme does not pay
for the others.
"""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.loading import Loaded
from verifier.tee.scheme import Scheme

_FOLDERS: Final = (
    "arm_cca",
    "aws_nitro",
    "aws_nitrotpm",
    "azure_snp_vtpm",
    "azure_snp_vtpm_gpu",
    "azure_tdx_vtpm",
    "azure_tdx_vtpm_gpu",
    "gcp_vtpm",
    "nvidia_gpu",
    "sev_snp",
    "sev_snp_gpu",
    "sgx",
    "tdx",
    "tdx_gpu",
    "tpm2",
)

SCHEMES: Final[Loaded[Scheme[Any, Any]]] = Loaded(
    ((folder.replace("_", "-"), f"{__package__}.{folder}.scheme") for folder in _FOLDERS), "SCHEME", "name"
)
