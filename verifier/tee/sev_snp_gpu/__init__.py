"""SEV-SNP guests with an NVIDIA GPU (``sev-snp-gpu``): the CPU's report, made last, vouches for the GPU's evidence.

``SCHEME`` is loaded when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.tee.sev_snp_gpu.scheme import SCHEME

__all__ = ["SCHEME"]


def __getattr__(name: str) -> Any:
    """Load the scheme (PEP 562)."""
    if name == "SCHEME":
        from verifier.tee.sev_snp_gpu.scheme import SCHEME

        return SCHEME
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
