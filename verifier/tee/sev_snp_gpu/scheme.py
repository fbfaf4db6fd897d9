"""The scheme ``sev-snp-gpu``: the binder is the CPU's report, made last; the GPU's evidence is hashed into it (``tee.gpu``)."""

from __future__ import annotations

from typing import Final

from verifier.tee.composite import JointRecord
from verifier.tee.gpu import with_gpu
from verifier.tee.scheme import Scheme
from verifier.tee.sev_snp.scheme import SCHEME as HOST

SCHEME: Final[Scheme[JointRecord, JointRecord]] = with_gpu(
    HOST,
    platform="both chips",
    firmware="what was launched, and what runs on the GPU",
)
