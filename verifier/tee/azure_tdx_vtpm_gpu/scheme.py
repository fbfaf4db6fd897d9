"""The scheme ``azure-tdx-vtpm-gpu``: the binder is the vTPM's quote, made last; the GPU's evidence is hashed into it (``tee.gpu``)."""

from __future__ import annotations

from typing import Final

from verifier.tee.azure_tdx_vtpm.scheme import SCHEME as HOST
from verifier.tee.composite import JointRecord
from verifier.tee.gpu import with_gpu
from verifier.tee.scheme import Scheme

SCHEME: Final[Scheme[JointRecord, JointRecord]] = with_gpu(
    HOST,
    platform="both chips, and which AKs",
    firmware="paravisor and guest firmware, and what runs on the GPU",
)
