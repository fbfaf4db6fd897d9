"""The scheme ``azure-snp-vtpm``. The host is excluded: the paravisor runs the vTPM inside what AMD's firmware protects."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from verifier.tee.azure.verify import ANCHORS as AZURE_ANCHORS
from verifier.tee.azure_snp_vtpm import identity, rules, verify
from verifier.tee.azure_snp_vtpm.decode import HCL_REPORT, NAME, Evidence, decode, encode, evidence_claims
from verifier.tee.azure_snp_vtpm.verify import Collateral
from verifier.tee.scheme import Scheme
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.vtpm.quote import OPTIONAL_PARTS, REQUIRED_PARTS
from verifier.tee.vtpm.rules import measurement

SCHEME: Final[Scheme[Evidence, Collateral]] = Scheme(
    name=NAME,
    host_excluded=True,
    required_parts=REQUIRED_PARTS | {HCL_REPORT},
    optional_parts=OPTIONAL_PARTS,
    endorsement_names=verify.ENDORSEMENTS,
    # The binder is the quote: the CPU's report was made at boot.
    binding_size="short",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.tpm.quote.extra_data,
    needs=verify.needs,
    collate=verify.collate,
    checks=verify.CHECKS,
    anchors=(*SNP.anchors, *AZURE_ANCHORS),
    anchors_of=(SNP.name,),
    inner=verify.inner,
    marks=verify.marks,
    rules=rules.RULES,
    identity_models=MappingProxyType(
        {
            "platform": identity.Platform,
            "firmware": identity.Firmware,
            "workload": identity.Workload,
            "config": identity.Config,
        }
    ),
    exceptions_model=identity.Exceptions,
    layout_fields=rules.FIELDS,
    bins=rules.BINS,
    evidence_claims=evidence_claims,
    root=verify.root_of,
    measurement=measurement,
    instance=rules.instance,
    debug_status=lambda evidence: SNP.debug_status(evidence.report),
    mandatory_rules=rules.MANDATORY,
    software_classes=frozenset({"firmware", "workload"}),
    observe=rules.observe,
)
