"""What the records of Azure's composites share: the CPU's report of the boot vouches for the claims that hold the vTPM's AK.

The CPU's report is verified by its own scheme, with the hash of the runtime claims as its user data. It was made at boot: nothing
in it is fresh, so the quote's extraData is the only place for a challenge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from verifier.formats.x509chain import Root
from verifier.tee.azure.claims import report_data_of
from verifier.tee.azure.verify import ANCHORS
from verifier.tee.chain import own_anchors
from verifier.tee.scheme import CollateralOf, Form, Inner, Need, Scheme, Subject, Verified
from verifier.tee.vtpm.akcert import AkChain, read_chain
from verifier.tee.vtpm.scheme import vtpm_scheme


@dataclass(frozen=True, slots=True, eq=False)
class Collateral:
    """What the CPU's report needs, and the AK's certificate where one came along."""

    cpu: Any
    ak_chain: AkChain | None


def azure_scheme(
    name: str,
    cpu: Scheme[Any, Any],
    cpu_of: Callable[[Any], Any],
    *,
    form: Form[Any],
    verify: Any,
    rules: Any,
    identity: str,
) -> Scheme[Any, Any]:
    """Make the scheme of an Azure composite. ``cpu_of`` reads the CPU's own evidence; the modules are those of ``vtpm_scheme``.

    The host is excluded: the paravisor runs the vTPM inside what the CPU protects.
    """
    own = cpu.verification.anchors

    def needs(evidence: Any, have: Mapping[str, bytes]) -> tuple[Need, ...]:
        return cpu.collateral.needs(cpu_of(evidence), have)

    def collate(evidence: Any, given: Mapping[str, bytes]) -> Collateral:
        return Collateral(cpu.collateral.collate(cpu_of(evidence), given), read_chain(given, name))

    def below(subject: Subject[Any, Any]) -> Subject[Any, Any]:
        anchors = own_anchors(subject.anchors, own)
        return Subject(cpu_of(subject.evidence), subject.collateral.cpu, anchors, subject.now, subject.chains)

    def inner(subject: Subject[Any, Any]) -> tuple[Inner, ...]:
        """Have the CPU's report verified, and hold its user data to the runtime claims' hash."""
        want = report_data_of(subject.evidence.hcl.runtime)
        return (Inner(cpu, below(subject), want, f"{name}.runtime-claims.digest"),)

    def root(subject: Subject[Any, Any]) -> Root:
        """Return the CPU vendor's word, who vouches for the claims that hold the AK. The AK's certificate only adds to it."""
        return cpu.verification.root(below(subject))

    def tcb_status(verified: Verified[Any, Any]) -> str:
        return cpu.token.tcb_status(verified.inner[cpu.name])

    return vtpm_scheme(
        name,
        host_excluded=True,
        form=form,
        cpus=(cpu,),
        own=ANCHORS,
        collateral=CollateralOf(needs=needs, collate=collate),
        inner=inner,
        root=root,
        verify=verify,
        rules=rules,
        identity=identity,
        debug_status=lambda evidence: cpu.token.debug_status(cpu_of(evidence)),
        tcb_status=tcb_status,
    )
