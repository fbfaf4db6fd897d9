"""The scheme ``sev-snp-gpu``: binder is the CPU's report, made last; the GPU's evidence, made first, is hashed into it.

The GPU's nonce carries the digest over no components (32 bytes), the CPU's report the digest over the GPU's evidence (64 bytes).
The host is excluded as far as the CPU excludes it: what the GPU is plugged into, its own report cannot say (docs/tee/sev-snp-gpu.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.core.rules import Rule, Scope
from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.tee.composite import Joint, JointRecord, joined, lift_all, lift_beside
from verifier.tee.nvidia_gpu import rules as gpu_rules
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.scheme import Check, Scheme, Subject, Verified
from verifier.tee.sev_snp.scheme import SCHEME as CPU
from verifier.tee.sev_snp_gpu import identity

NAME: Final = "sev-snp-gpu"
JOINT: Final = Joint(binder=CPU, others=(GPU,))
RULES: Final[tuple[Rule[Any], ...]] = (
    *lift_all(CPU),
    *lift_beside(GPU, gpu_rules.BESIDE),
)


def _check_gpu(subject: Subject[JointRecord, JointRecord]) -> None:
    """A switch answers challenges as a GPU does, and computes nothing."""
    gpu = subject.evidence[GPU.name]
    if gpu.is_switch:
        raise EvidenceRejected("sev-snp-gpu.gpu", mismatch("device", gpu.chip, "a GPU"))


CHECKS: Final[tuple[Check[JointRecord, JointRecord], ...]] = (
    Check(
        "sev-snp-gpu.gpu", _check_gpu, remedy="send the report of the GPU that the guest computes with, not a switch's"
    ),
)


def _observe(verified: Verified[Any, Any]) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what identities of this very machine say, CPU and GPU."""
    cpu: Mapping[Scope, Mapping[str, Any]] = CPU.observe(verified.inner[CPU.name])
    gpu = gpu_rules.observe_beside(verified.inner[GPU.name])
    return {scope: {**cpu.get(scope, {}), **gpu.get(scope, {})} for scope in (*cpu, *gpu)}


SCHEME: Final[Scheme[JointRecord, JointRecord]] = joined(
    NAME,
    JOINT,
    checks=CHECKS,
    rules=RULES,
    identity_models=MappingProxyType(
        {**CPU.identity_models, "platform": identity.PlatformValues, "firmware": identity.FirmwareValues}
    ),
    exceptions_model=identity.Exceptions,
    observe=_observe,
)
