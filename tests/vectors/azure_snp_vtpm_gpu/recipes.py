"""Vectors of ``azure-snp-vtpm-gpu``: its own, and those of ``azure-snp-vtpm`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import DIGEST, GpuComposite, parts_of, with_base
from tests.support.vectors import PartForm, Vector, base_of
from tests.vectors.azure_snp_vtpm import recipes as azure
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.vtpm.forging import PCRS
from verifier.core.binding import BindingDigest
from verifier.tee.azure_snp_vtpm.scheme import SCHEME as AZURE
from verifier.tee.azure_snp_vtpm_gpu.scheme import SCHEME
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU

# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"azure-snp-vtpm-gpu.endorsement.{name}" for name in SCHEME.form.endorsements)


@cache
def machine() -> GpuComposite:
    """Return the wholesome machine of both."""
    alone = base_of(azure.vectors())

    def cpu(digest: BindingDigest) -> Envelope:
        quoted = azure.base().quote_parts(digest.short, PCRS)
        return Envelope(AZURE.name, {**alone.parts, **quoted}, alone.endorsements)

    return GpuComposite(
        name="azure-snp-vtpm-gpu",
        cpu=AZURE,
        make=cpu,
        collateral=alone.collateral,
        anchors=alone.anchors,
        now=alone.now,
        cpu_root="sev-snp.chain.root",
    )


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    values = base_of(azure.vectors()).rule_values
    made = machine()
    return with_base([*made.own(values), *made.derived(AZURE, azure.vectors()), *made.derived(GPU, gpu.vectors())])


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    base, quote = vectors()[0], "azure_snp_vtpm.quote"
    forms = parts_of(AZURE.name, azure.part_forms(), base)
    at = base.parts[quote].index(machine().vouching(DIGEST).short)
    return {**forms, quote: replace(forms[quote], signed=((at, at + 32),))}
