"""The scheme ``azure-snp-vtpm-gpu``: binder is the vTPM's quote, made last; the GPU's evidence, made first, is hashed into it.

The GPU's nonce carries the digest over no components, the quote's extraData the digest over the GPU's evidence (32 bytes
both). The CPU's report of the boot is not fresh: it vouches for the vTPM's key, as in ``azure-snp-vtpm``. The host is excluded as far
as the CPU excludes it: what the GPU is plugged into, its own report cannot say (docs/tee/azure-snp-vtpm-gpu.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Rule, Scope
from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.tee.azure_snp_vtpm.scheme import SCHEME as VM
from verifier.tee.azure_snp_vtpm_gpu import identity
from verifier.tee.composite import Joint, JointRecord, joined, lift_all, lift_beside
from verifier.tee.nvidia_gpu import rules as gpu_rules
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.scheme import Check, Scheme, Subject, Verified

NAME: Final = "azure-snp-vtpm-gpu"
JOINT: Final = Joint(binder=VM, others=(GPU,))
RULES: Final[tuple[Rule[Any], ...]] = (
    *lift_all(VM),
    *lift_beside(GPU, gpu_rules.BESIDE),
)


def _check_gpu(subject: Subject[JointRecord, JointRecord]) -> None:
    """A switch answers challenges as a GPU does, and computes nothing."""
    gpu = subject.evidence[GPU.name]
    if gpu.is_switch:
        raise EvidenceRejected("azure-snp-vtpm-gpu.gpu", mismatch("device", gpu.chip, "a GPU"))


CHECKS: Final[tuple[Check[JointRecord, JointRecord], ...]] = (
    Check(
        "azure-snp-vtpm-gpu.gpu",
        _check_gpu,
        remedy="send the report of the GPU that the guest computes with, not a switch's",
    ),
)


def _observe(verified: Verified[Any, Any]) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what identities of this very machine say, virtual machine and GPU."""
    machine: Mapping[Scope, Mapping[str, Any]] = VM.observe(verified.inner[VM.name])
    gpu = gpu_rules.observe_beside(verified.inner[GPU.name])
    return {scope: {**machine.get(scope, {}), **gpu.get(scope, {})} for scope in (*machine, *gpu)}


SCHEME: Final[Scheme[JointRecord, JointRecord]] = joined(
    NAME,
    JOINT,
    checks=CHECKS,
    rules=RULES,
    identity_models=MappingProxyType(
        {**VM.identity_models, "platform": identity.Platform, "firmware": identity.Firmware}
    ),
    exceptions_model=identity.Exceptions,
    observe=_observe,
)
