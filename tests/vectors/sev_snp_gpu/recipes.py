"""Vectors of ``sev-snp-gpu``: its own, and those of ``sev-snp`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from tests.support.composites import with_gpu
from tests.vectors.sev_snp import recipes as snp
from tests.vectors.sev_snp.forging import MILAN

machine, vectors, part_forms = with_gpu(
    "sev-snp", snp, lambda digest: {"report": MILAN.report(report_data=digest.whole)}
)
