"""The scheme ``gcp-vtpm``. The host is *not* excluded, whatever stands beside it: Google's hypervisor runs the vTPM."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from verifier.tee.gcp_vtpm import identity, rules, verify
from verifier.tee.gcp_vtpm.decode import CPU_PARTS, CPUS, NAME, Evidence, decode, encode, evidence_claims
from verifier.tee.gcp_vtpm.verify import Collateral
from verifier.tee.scheme import Scheme
from verifier.tee.vtpm.quote import OPTIONAL_PARTS, REQUIRED_PARTS
from verifier.tee.vtpm.rules import measurement


def _debug_status(evidence: Evidence) -> str:
    """A vTPM has no debug mode of its own; a CPU says what the host may do."""
    return "disabled" if evidence.cpu is None else str(evidence.cpu.scheme.debug_status(evidence.cpu.evidence))


SCHEME: Final[Scheme[Evidence, Collateral]] = Scheme(
    name=NAME,
    host_excluded=False,
    required_parts=REQUIRED_PARTS,
    optional_parts=OPTIONAL_PARTS | CPU_PARTS,
    endorsement_names=verify.ENDORSEMENTS,
    # The quote carries the digest short with an empty list, also where a CPU report vouches for it (``also_bound``).
    binding_size="short",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.tpm.quote.extra_data,
    also_bound=verify.also_bound,
    needs=verify.needs,
    collate=verify.collate,
    checks=verify.CHECKS,
    anchors=(*verify.ANCHORS, *(anchor for cpu in CPUS for anchor in cpu.anchors)),
    anchors_of=tuple(cpu.name for cpu in CPUS),
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
    debug_status=_debug_status,
    tcb_status=rules.tcb_status,
    mandatory_rules=rules.MANDATORY,
    software_classes=frozenset({"firmware", "workload"}),
    observe=rules.observe,
)
