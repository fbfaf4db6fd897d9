"""Vectors of ``sev-snp-gpu``: its own, and those of ``sev-snp`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import GpuComposite, parts_of, with_base
from tests.support.vectors import PartForm, Vector
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.sev_snp import recipes as snp
from tests.vectors.sev_snp.forging import MILAN, NOW, everything
from verifier.core.binding import BindingDigest
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.sev_snp_gpu.scheme import SCHEME

# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"sev-snp-gpu.endorsement.{name}" for name in SCHEME.form.endorsements)


def _cpu(digest: BindingDigest) -> Envelope:
    return Envelope("sev-snp", {"report": MILAN.report(report_data=digest.whole)}, MILAN.endorsements())


@cache
def machine() -> GpuComposite:
    """Return the wholesome machine of both."""
    crl, anchors = {"crl": MILAN.crl()}, (MILAN.anchor(),)
    return GpuComposite(name="sev-snp-gpu", cpu=SNP, make=_cpu, collateral=crl, anchors=anchors, now=NOW)


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    made = machine()
    return with_base(
        [*made.own(everything(MILAN)), *made.derived(SNP, snp.vectors()), *made.derived(GPU, gpu.vectors())]
    )


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    forms = parts_of("sev-snp", snp.part_forms(), vectors()[0])
    return {**forms, "sev_snp.report": replace(forms["sev_snp.report"], signed=((0x50, 0x90),))}
