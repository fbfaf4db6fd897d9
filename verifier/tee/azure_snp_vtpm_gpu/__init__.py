"""Azure's VMs on AMD SEV-SNP with an NVIDIA GPU (``azure-snp-vtpm-gpu``): the vTPM's quote, made last, vouches for the GPU.

``SCHEME`` is loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.tee.azure_snp_vtpm_gpu.scheme import SCHEME

__all__ = ["SCHEME"]


def __getattr__(name: str) -> Any:
    """Load the scheme (PEP 562)."""
    if name == "SCHEME":
        from verifier.tee.azure_snp_vtpm_gpu.scheme import SCHEME

        return SCHEME
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
