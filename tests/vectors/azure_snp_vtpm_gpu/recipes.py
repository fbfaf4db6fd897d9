"""Vectors of ``azure-snp-vtpm-gpu``: its own, and those of ``azure-snp-vtpm`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from tests.support.composites import with_gpu
from tests.vectors.azure_snp_vtpm import recipes as azure

machine, vectors, part_forms = with_gpu("azure-snp-vtpm", azure, azure.answer, "sev-snp.chain.root")
