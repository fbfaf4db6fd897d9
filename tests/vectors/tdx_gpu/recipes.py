"""Vectors of ``tdx-gpu``: its own, and those of ``tdx`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from tests.support.composites import with_gpu
from tests.vectors.dcap.forging import INTEL
from tests.vectors.tdx import recipes as tdx

machine, vectors, part_forms = with_gpu(
    "tdx", tdx, lambda digest: {"quote": INTEL.quote("tdx", report_data=digest.whole)}
)
