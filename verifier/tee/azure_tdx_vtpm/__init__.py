"""Azure's confidential VMs on Intel TDX (``azure-tdx-vtpm``): a vTPM quote, its key vouched for by a TD quote of the boot.

``SCHEME`` and ``CASE`` are loaded when asked for, so that an attester that needs only layouts does not pay for the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.tee.azure_tdx_vtpm.case import CASE
    from verifier.tee.azure_tdx_vtpm.scheme import SCHEME

__all__ = ["CASE", "SCHEME"]


def __getattr__(name: str) -> Any:
    """Load the scheme or its case form (PEP 562)."""
    if name == "SCHEME":
        from verifier.tee.azure_tdx_vtpm.scheme import SCHEME

        return SCHEME
    if name == "CASE":
        from verifier.tee.azure_tdx_vtpm.case import CASE

        return CASE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
