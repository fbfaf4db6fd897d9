"""AWS NitroTPM (``aws-nitrotpm``): an attestation document with the PCRs of an EC2 instance, and a TPM 2.0 quote beside it.

``SCHEME`` and ``CASE`` are loaded when asked for, so that an attester that needs only ``layout`` does not pay for the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from verifier.tee.aws_nitrotpm.case import CASE
    from verifier.tee.aws_nitrotpm.scheme import SCHEME

__all__ = ["CASE", "SCHEME"]


def __getattr__(name: str) -> Any:
    """Load the scheme or its case form (PEP 562)."""
    if name == "SCHEME":
        from verifier.tee.aws_nitrotpm.scheme import SCHEME

        return SCHEME
    if name == "CASE":
        from verifier.tee.aws_nitrotpm.case import CASE

        return CASE
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
