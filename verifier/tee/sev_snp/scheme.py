"""The scheme's record: what ``sev_snp`` hands to the registry."""

from __future__ import annotations

from typing import Final

from verifier.tee.chain import pinned
from verifier.tee.scheme import Binding, CollateralOf, Form, Scheme, TokenOf, Verification, appraisal_of
from verifier.tee.sev_snp import layout, rules, verify
from verifier.tee.sev_snp.decode import Report, decode, encode, evidence_claims
from verifier.tee.sev_snp.verify import SnpCollateral

ANCHORS: Final = tuple(
    pinned(__package__, f"ARK-{product}", f"ark_{product.lower()}.der") for product in layout.PRODUCTS
)


def _debug_status(report: Report) -> str:
    """EAT dbgstat (RFC 9711 section 4.2.9): the guest policy is fixed at launch."""
    return "enabled" if report.is_debug else "disabled-since-boot"


SCHEME: Final[Scheme[Report, SnpCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=True,
    form=Form(
        required=frozenset({"report"}),
        endorsements=verify.ENDORSEMENTS,
        decode=decode,
        encode=encode,
        claims=evidence_claims,
    ),
    binding=Binding(size="whole", value=lambda report: report.report_data),
    collateral=CollateralOf(needs=verify.needs, collate=verify.collate),
    verification=Verification(checks=verify.CHECKS, anchors=ANCHORS, root=verify.CHAIN.root_of),
    appraisal=appraisal_of(f"{__package__}.identity", rules, layout.FIELDS, "firmware"),
    token=TokenOf(
        measurement=lambda verified, _matched: verified.evidence.measurement.hex(),
        instance=rules.instance,
        debug_status=_debug_status,
    ),
)
