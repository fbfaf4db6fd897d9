"""Google Compute Engine's vTPM (``gcp-vtpm``): a quote under an AK that Google certified, alone or with a CPU report beside it.

``SCHEME`` and ``CASE`` are loaded when asked for, so that an attester that needs only layouts does not pay for the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.tee.gcp_vtpm.case import CASE
    from verifier.tee.gcp_vtpm.scheme import SCHEME

__all__ = ["CASE", "SCHEME"]


def __getattr__(name: str) -> Any:
    """Load the scheme or its case form (PEP 562)."""
    if name == "SCHEME":
        from verifier.tee.gcp_vtpm.scheme import SCHEME

        return SCHEME
    if name == "CASE":
        from verifier.tee.gcp_vtpm.case import CASE

        return CASE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
