"""The scheme's record: what ``sgx`` hands to the registry."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import Final

from verifier.tee.dcap import endorse
from verifier.tee.dcap.claims import evidence_claims
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.marks import marks_of
from verifier.tee.dcap.rules import instance, tcb_status
from verifier.tee.dcap.verify import ANCHORS, root_of
from verifier.tee.scheme import Scheme
from verifier.tee.sgx import identity, rules, verify
from verifier.tee.sgx.decode import Evidence, decode, encode
from verifier.tee.sgx.layout import FIELDS, NAME
from verifier.tee.sgx.observe import observe

SCHEME: Final[Scheme[Evidence, DcapCollateral]] = Scheme(
    name=NAME,
    host_excluded=True,
    required_parts=frozenset({"quote"}),
    endorsement_names=endorse.ENDORSEMENTS,
    binding_size="whole",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.report.report_data,
    needs=lambda evidence, have: endorse.needs(NAME, evidence.quote, have),
    collate=lambda evidence, given: endorse.collate(NAME, evidence.quote, given),
    checks=verify.CHECKS,
    anchors=ANCHORS,
    rules=rules.RULES,
    identity_models=MappingProxyType(
        {
            "platform": identity.PlatformValues,
            "workload": identity.WorkloadValues,
            "config": identity.ConfigValues,
        }
    ),
    exceptions_model=identity.Exceptions,
    layout_fields=FIELDS,
    bins=rules.BINS,
    evidence_claims=lambda evidence: evidence_claims(evidence.quote),
    root=root_of(NAME),
    measurement=lambda verified, _matched: verified.evidence.report.mrenclave.hex(),
    instance=instance,
    # EAT dbgstat (RFC 9711 section 4.2.9): attributes are fixed at launch.
    debug_status=lambda evidence: "enabled" if evidence.report.is_debug else "disabled-since-boot",
    tcb_status=tcb_status,
    mandatory_rules=frozenset({"sgx.tcb.supported", "sgx.configid"}),
    marks=partial(marks_of, NAME),
    software_classes=frozenset({"workload"}),
    observe=observe,
)
