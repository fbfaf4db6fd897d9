"""Vectors of ``sev-snp-gpu``: its own, and those of ``sev-snp`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import GpuComposite, parts_of, with_base
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.sev_snp import recipes as snp
from tests.vectors.sev_snp.forging import MILAN, NOW, everything
from verifier.core.binding import BindingDigest
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.sev_snp_gpu.scheme import SCHEME


def _cpu(digest: BindingDigest) -> Envelope:
    return Envelope("sev-snp", {"report": MILAN.report(report_data=digest.whole)}, MILAN.endorsements())


MACHINE: Final = GpuComposite(
    name="sev-snp-gpu", cpu=SNP, make=_cpu, collateral={"crl": MILAN.crl()}, anchors=(MILAN.anchor(),), now=NOW
)
VECTORS: Final = with_base(
    [*MACHINE.own(everything(MILAN)), *MACHINE.derived(SNP, snp.VECTORS), *MACHINE.derived(GPU, gpu.VECTORS)]
)
_FORMS: Final = parts_of("sev-snp", snp.PARTS, VECTORS[0])
PARTS: Final = {**_FORMS, "sev_snp.report": replace(_FORMS["sev_snp.report"], signed=((0x50, 0x90),))}
# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"sev-snp-gpu.endorsement.{name}" for name in SCHEME.endorsement_names)
