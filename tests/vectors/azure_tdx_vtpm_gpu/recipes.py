"""Vectors of ``azure-tdx-vtpm-gpu``: its own, and those of ``azure-tdx-vtpm`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from tests.support.composites import with_gpu
from tests.vectors.azure_tdx_vtpm import recipes as azure

machine, vectors, part_forms = with_gpu("azure-tdx-vtpm", azure, azure.answer, "tdx.chain.root")
