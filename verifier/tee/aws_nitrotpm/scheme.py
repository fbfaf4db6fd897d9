"""The scheme's record: what ``aws_nitrotpm`` hands to the registry. The hypervisor runs the TPM: the host is *not* excluded."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Scope
from verifier.tee.aws_nitro.rules import instance_of
from verifier.tee.aws_nitro.scheme import SCHEME as NITRO
from verifier.tee.aws_nitro.verify import document_root
from verifier.tee.aws_nitrotpm import identity, layout, rules, verify
from verifier.tee.aws_nitrotpm.decode import Evidence, decode, encode, evidence_claims
from verifier.tee.aws_nitrotpm.rules import NitroTpmVerified
from verifier.tee.aws_nitrotpm.verify import Collateral
from verifier.tee.scheme import Carried, Scheme

# What runs, where something was measured. Not 10, IMA's, which every file that is opened extends.
_SOFTWARE: Final = (8, 9, 11, 12, 13, 14)


def _also_bound(evidence: Evidence) -> tuple[Carried, ...]:
    """The binder is the quote; the document carries the digest too, and the nonce where it has one. Its key field holds the AK."""
    document = evidence.document
    digest = Carried(document.user_data or b"", "whole")
    return (digest,) if document.nonce is None else (digest, Carried(document.nonce, "nonce"))


def _observe(verified: NitroTpmVerified) -> Mapping[Scope, Mapping[str, Any]]:
    evidence = verified.evidence
    firmware = {str(i): v.hex() for i, v in evidence.quoted.items() if i <= layout.FIRMWARE_LAST}
    software = {str(i): v.hex() for i, v in evidence.quoted.items() if i in _SOFTWARE and any(v)}
    return {
        "platform": {"root": verified.root, "instances": [instance_of(evidence.document)], "max_age": None},
        "firmware": {"pcrs": firmware or None},
        "workload": {"pcrs": software or None},
    }


SCHEME: Final[Scheme[Evidence, Collateral]] = Scheme(
    name=layout.NAME,
    host_excluded=False,
    required_parts=layout.REQUIRED_PARTS,
    optional_parts=layout.OPTIONAL_PARTS,
    endorsement_names=frozenset(),
    binding_size="short",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.quote.extra_data,
    also_bound=_also_bound,
    needs=lambda _evidence, _given: (),
    collate=lambda _evidence, _given: Collateral(),
    checks=verify.CHECKS,
    anchors=NITRO.anchors,
    anchors_of=(NITRO.name,),
    rules=rules.RULES,
    identity_models=MappingProxyType(
        {
            "platform": identity.PlatformValues,
            "firmware": identity.Firmware,
            "workload": identity.Workload,
            "config": identity.Config,
        }
    ),
    exceptions_model=identity.Exceptions,
    layout_fields=layout.FIELDS,
    bins=rules.BINS,
    evidence_claims=evidence_claims,
    root=lambda subject: document_root(subject.evidence.document, subject),
    measurement=rules.measurement,
    instance=lambda verified: ("aws-nitrotpm.module", verified.evidence.document.module_id),
    # A TPM has no debug mode of its own; what the machine allows is for firmware identities to say.
    debug_status=lambda _evidence: "disabled",
    mandatory_rules=frozenset({"aws-nitrotpm.config.extended"}),
    software_classes=frozenset({"firmware", "workload"}),
    observe=_observe,
)
