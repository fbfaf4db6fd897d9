"""Bytes to records: the vTPM's quote, and the CPU report that may stand beside it as a component. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from verifier.core.binding import Component, evidence_component
from verifier.formats.errors import MalformedEvidence
from verifier.tee.scheme import Scheme
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm.quote import OPTIONAL_PARTS, REQUIRED_PARTS, VtpmQuote, decode_parts, encode_parts, vtpm_claims

NAME: Final = "gcp-vtpm"
CPU_ID: Final = "gcp-vtpm.decode.cpu"
# What may vouch for the machine beside Google.
CPUS: Final[tuple[Scheme[Any, Any], ...]] = (SNP, TDX)


def prefix_of(scheme: Scheme[Any, Any]) -> str:
    """Return what stands before the names of a component's parts and endorsements."""
    return f"{scheme.name.replace('-', '_')}."


def stripped(scheme: Scheme[Any, Any], named: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return what belongs to a component, under its own names."""
    prefix = prefix_of(scheme)
    return {name.removeprefix(prefix): data for name, data in named.items() if name.startswith(prefix)}


CPU_PARTS: Final = frozenset(
    f"{prefix_of(cpu)}{part}" for cpu in CPUS for part in cpu.form.required | cpu.form.optional
)


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU's evidence: whose, and what was read."""

    scheme: Scheme[Any, Any]
    evidence: Any


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was read, unverified. ``component`` names the vTPM's own parts, for the CPU report to vouch for."""

    tpm: VtpmQuote
    cpu: Cpu | None
    component: Component


def _cpu(unverified_parts: Mapping[str, bytes]) -> Cpu | None:
    brought = [(cpu, parts) for cpu in CPUS if (parts := stripped(cpu, unverified_parts))]
    if not brought:
        return None
    if len(brought) > 1:
        raise MalformedEvidence(CPU_ID, "components: got reports of two kinds of CPU, want one at most")
    scheme, parts = brought[0]
    for name in sorted(scheme.form.required - parts.keys()):
        raise MalformedEvidence(CPU_ID, f"components: got no {prefix_of(scheme)}{name}, want it")
    return Cpu(scheme, scheme.form.decode(parts))


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; ``MalformedEvidence`` under ``gcp-vtpm.decode.<part>``, or the CPU's own ids."""
    own = {name: data for name, data in unverified_parts.items() if name in REQUIRED_PARTS | OPTIONAL_PARTS}
    tpm = decode_parts(own, NAME)
    return Evidence(tpm, _cpu(unverified_parts), evidence_component(NAME, MappingProxyType(own)))


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back: structures anew, JSON and log as they were kept."""
    parts = encode_parts(evidence.tpm)
    if evidence.cpu is None:
        return parts
    scheme = evidence.cpu.scheme
    return {**parts, **{prefix_of(scheme) + n: data for n, data in scheme.form.encode(evidence.cpu.evidence).items()}}


def evidence_claims(evidence: Evidence) -> dict[str, Any]:
    """What the evidence says; the CPU's report under its scheme's name with underscores."""
    claims: dict[str, Any] = {"tpm": vtpm_claims(evidence.tpm)}
    if evidence.cpu is None:
        return claims
    scheme = evidence.cpu.scheme
    return {**claims, scheme.name.replace("-", "_"): scheme.form.claims(evidence.cpu.evidence)}
