"""What stands in for ``Verified`` where the operator asks for values of evidence that no check has passed. Pure.

It is no ``Verified``: nothing mints on it, and no policy is appraised with it. Values that are read off it are marked in their origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor
from verifier.tee.scheme import Scheme, Subject


@dataclass(frozen=True, slots=True)
class Unverified:
    """What rules and ``Scheme.observe`` look at."""

    scheme: Scheme[Any, Any]
    evidence: Any
    collateral: Any
    anchors: tuple[Anchor, ...]
    now: int
    inner: Mapping[str, Unverified]
    root: str = "unverified"
    bound: bool = False


def stand_in(scheme: Scheme[Any, Any], subject: Subject[Any, Any]) -> Unverified:
    """Take evidence as it is, inner parts of a composite too."""
    try:
        parts = scheme.verification.inner(subject)
    except (LookupError, AttributeError, TypeError):
        raise CannotDecide(
            f"{scheme.name}.endorsement.inner", "inner evidence: got too little to take it apart"
        ) from None
    inner = {part.scheme.name: stand_in(part.scheme, part.subject) for part in parts}
    return Unverified(scheme, subject.evidence, subject.collateral, subject.anchors, subject.now, inner)
