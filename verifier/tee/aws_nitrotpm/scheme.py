"""The scheme's record: what ``aws_nitrotpm`` hands to the registry. The hypervisor runs the TPM: the host is *not* excluded."""

from __future__ import annotations

from typing import Final

from verifier.tee.aws_nitro.scheme import SCHEME as NITRO
from verifier.tee.aws_nitro.verify import document_chain
from verifier.tee.aws_nitrotpm import layout, rules, verify
from verifier.tee.aws_nitrotpm.decode import Evidence, decode, encode, evidence_claims
from verifier.tee.aws_nitrotpm.verify import Collateral
from verifier.tee.scheme import Binding, Carried, CollateralOf, Form, Scheme, TokenOf, Verification, appraisal_of


def _also_bound(evidence: Evidence) -> tuple[Carried, ...]:
    """The binder is the quote; the document carries the digest too, and the nonce where it has one. Its key field holds the AK."""
    document = evidence.document
    digest = Carried(document.user_data or b"", "whole")
    return (digest,) if document.nonce is None else (digest, Carried(document.nonce, "nonce"))


SCHEME: Final[Scheme[Evidence, Collateral]] = Scheme(
    name=layout.NAME,
    host_excluded=False,
    form=Form(
        required=layout.REQUIRED_PARTS,
        optional=layout.OPTIONAL_PARTS,
        decode=decode,
        encode=encode,
        claims=evidence_claims,
    ),
    binding=Binding(size="short", value=lambda evidence: evidence.quote.extra_data, also=_also_bound),
    collateral=CollateralOf(collate=lambda _evidence, _given: Collateral()),
    verification=Verification(
        checks=verify.CHECKS,
        anchors=NITRO.verification.anchors,
        anchors_of=(NITRO.name,),
        root=document_chain(lambda evidence: evidence.document).root_of,
    ),
    appraisal=appraisal_of(f"{__package__}.identity", rules, layout.FIELDS, "firmware", "workload"),
    token=TokenOf(
        measurement=rules.measurement,
        instance=lambda verified: ("aws-nitrotpm.module", verified.evidence.document.module_id),
        # A TPM has no debug mode of its own; what the machine allows is for firmware identities to say.
        debug_status=lambda _evidence: "disabled",
    ),
)
