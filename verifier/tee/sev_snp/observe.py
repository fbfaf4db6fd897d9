"""What an identity of this very machine says where that is more than what a rule saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Scope
from verifier.tee.scheme import Verified
from verifier.tee.sev_snp.decode import Report, tcb_parts
from verifier.tee.sev_snp.verify import SnpCollateral, product_of

_JUDGED_TCBS = ("reported_tcb", "launch_tcb", "committed_tcb")


def observe(verified: Verified[Report, SnpCollateral]) -> Mapping[Scope, Mapping[str, Any]]:
    """Give the minimum TCB: component by component the lowest of the three that one floor is compared with."""
    report = verified.evidence
    product = product_of(report, verified.collateral)
    tcbs = [tcb_parts(getattr(report, name), product) for name in _JUDGED_TCBS]
    floor = {part: min(tcb[part] for tcb in tcbs) for part in tcbs[0]}
    return {"platform": {"minimum_tcb": None if product is None else {product: floor}}}
