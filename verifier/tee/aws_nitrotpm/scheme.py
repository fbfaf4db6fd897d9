"""The scheme's record: what ``aws_nitrotpm`` hands to the registry. The hypervisor runs the TPM: the host is *not* excluded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Scope
from verifier.tee.aws_nitro.rules import instance_of
from verifier.tee.aws_nitro.scheme import SCHEME as NITRO
from verifier.tee.aws_nitro.verify import document_chain
from verifier.tee.aws_nitrotpm import identity, layout, rules, verify
from verifier.tee.aws_nitrotpm.decode import Evidence, decode, encode, evidence_claims
from verifier.tee.aws_nitrotpm.rules import NitroTpmVerified
from verifier.tee.aws_nitrotpm.verify import Collateral
from verifier.tee.judges import observed_software
from verifier.tee.scheme import AppraisalOf, Binding, Carried, CollateralOf, Form, Scheme, TokenOf, Verification


def _also_bound(evidence: Evidence) -> tuple[Carried, ...]:
    """The binder is the quote; the document carries the digest too, and the nonce where it has one. Its key field holds the AK."""
    document = evidence.document
    digest = Carried(document.user_data or b"", "whole")
    return (digest,) if document.nonce is None else (digest, Carried(document.nonce, "nonce"))


def _observe(verified: NitroTpmVerified) -> Mapping[Scope, Mapping[str, Any]]:
    evidence = verified.evidence
    firmware = {str(i): v.hex() for i, v in evidence.quoted.items() if i <= layout.FIRMWARE_LAST}
    return {
        "platform": {"root": verified.root, "instances": [instance_of(evidence.document)], "max_age": None},
        "firmware": {"pcrs": firmware or None},
        "workload": {"pcrs": observed_software(evidence.quoted)},
    }


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
    appraisal=AppraisalOf(
        rules=rules.RULES,
        models=MappingProxyType(
            {
                "platform": identity.PlatformValues,
                "firmware": identity.Firmware,
                "workload": identity.Workload,
                "config": identity.Config,
            }
        ),
        exceptions=identity.Exceptions,
        software=frozenset({"firmware", "workload"}),
        fields=layout.FIELDS,
        bins=rules.BINS,
        observe=_observe,
    ),
    token=TokenOf(
        measurement=rules.measurement,
        instance=lambda verified: ("aws-nitrotpm.module", verified.evidence.document.module_id),
        # A TPM has no debug mode of its own; what the machine allows is for firmware identities to say.
        debug_status=lambda _evidence: "disabled",
    ),
)
