"""The scheme ``gcp-vtpm``. The host is *not* excluded, whatever stands beside it: Google's hypervisor runs the vTPM."""

from __future__ import annotations

from typing import Any, Final

from verifier.tee.gcp_vtpm import decode, rules, verify
from verifier.tee.gcp_vtpm.decode import CPU_PARTS, CPUS, NAME, Evidence
from verifier.tee.scheme import CollateralOf, Scheme
from verifier.tee.vtpm.scheme import vtpm_form, vtpm_scheme


def _debug_status(evidence: Evidence) -> str:
    """A vTPM has no debug mode of its own; a CPU says what the host may do."""
    return "disabled" if evidence.cpu is None else evidence.cpu.scheme.token.debug_status(evidence.cpu.evidence)


SCHEME: Final[Scheme[Any, Any]] = vtpm_scheme(
    NAME,
    host_excluded=False,
    form=vtpm_form(decode, optional=CPU_PARTS, endorsements=verify.ENDORSEMENTS),
    cpus=CPUS,
    own=verify.ANCHORS,
    collateral=CollateralOf(needs=verify.needs, collate=verify.collate),
    inner=verify.inner,
    root=verify.root_of,
    verify=verify,
    rules=rules,
    identity=f"{__package__}.identity",
    debug_status=_debug_status,
    tcb_status=rules.tcb_status,
    also=verify.also_bound,
)
