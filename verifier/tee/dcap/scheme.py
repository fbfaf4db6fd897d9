"""What the records of ``sgx`` and ``tdx`` share: a quote that carries the digest whole, and Intel's collateral."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verifier.tee.dcap import endorse
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.rules import instance, tcb_status
from verifier.tee.dcap.steps import DcapCheck
from verifier.tee.dcap.verify import ANCHORS, root_of
from verifier.tee.scheme import AppraisalOf, Binding, CollateralOf, Form, Scheme, TokenOf, Verification


def dcap_scheme(
    name: str,
    *,
    form: Form[Any],
    checks: tuple[DcapCheck, ...],
    appraisal: AppraisalOf[Any, DcapCollateral],
    measurement: Callable[[Any], str],
) -> Scheme[Any, DcapCollateral]:
    """Make the scheme of a quote. ``evidence`` has ``quote`` and ``report``; ``measurement`` reads the report."""
    return Scheme(
        name=name,
        host_excluded=True,
        form=form,
        binding=Binding(size="whole", value=lambda evidence: evidence.report.report_data),
        collateral=CollateralOf(
            needs=lambda evidence, have: endorse.needs(name, evidence.quote, have),
            collate=lambda evidence, given: endorse.collate(name, evidence.quote, given),
        ),
        verification=Verification(checks=checks, anchors=ANCHORS, root=root_of(name)),
        appraisal=appraisal,
        token=TokenOf(
            measurement=lambda verified, _matched: measurement(verified.evidence.report),
            instance=instance,
            # EAT dbgstat (RFC 9711 section 4.2.9): attributes are fixed at launch.
            debug_status=lambda evidence: "enabled" if evidence.report.is_debug else "disabled-since-boot",
            tcb_status=tcb_status,
        ),
    )
