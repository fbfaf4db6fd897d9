"""A machine with an NVIDIA GPU: any host's scheme, made last, vouches for the GPU's evidence. One call makes the composite.

The GPU's nonce carries the digest over no components (32 bytes), the binder's field the digest over the GPU's evidence. The host is
excluded as far as the host's own scheme excludes it: what the GPU is plugged into, its own report cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Any, Final

from verifier.core.rules import Scope
from verifier.formats.errors import Failed, mismatch
from verifier.tee.composite import Joint, JointRecord, joined, lift_all, lift_beside
from verifier.tee.nvidia_gpu.rules import observe
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.scheme import Check, IdentityModels, Scheme, Subject, Verified

if TYPE_CHECKING:
    from verifier.tee.values import Values

# What a machine's identities call the GPU's fields, beside the host's own.
PREFIX: Final = "gpu_"


def _require_gpu(subject: Subject[JointRecord, JointRecord]) -> None:
    """A switch answers challenges as a GPU does, and computes nothing."""
    gpu = subject.evidence[GPU.name]
    if gpu.is_switch:
        raise Failed(mismatch("device", gpu.chip, "a GPU"))


def _model(base: type[Values], also: tuple[type[Values], ...], doc: str) -> type[Values]:
    """Make an identity model with the host's fields and the GPU's; it is published under the host's name for it."""
    named = {"__doc__": doc, "__module__": __name__}
    made: type[Values] = new_class(base.__name__, (base, *also), exec_body=lambda body: body.update(named))
    return made


def with_gpu(host: Scheme[Any, Any], *, platform: str, firmware: str) -> Scheme[JointRecord, JointRecord]:
    """Make the composite of a host and a GPU. ``platform``, ``firmware``: what these classes cover, for the published schema."""
    name = f"{host.name}-gpu"

    def observed(verified: Verified[Any, Any]) -> Mapping[Scope, Mapping[str, Any]]:
        """Say what identities of this very machine say, host and GPU."""
        machine = host.appraisal.observe(verified.inner[host.name])
        beside = {
            scope: {f"{PREFIX}{field}": value for field, value in values.items()}
            for scope, values in observe(verified.inner[GPU.name]).items()
        }
        return {scope: {**machine.get(scope, {}), **beside.get(scope, {})} for scope in (*machine, *beside)}

    def identity() -> IdentityModels:
        """Put the GPU's fields beside the host's, in the host's own classes."""
        from verifier.tee.nvidia_gpu.identity import GpuFirmwareValues, GpuPlatformValues

        models = host.appraisal.models
        platforms = _model(models["platform"], (GpuPlatformValues,), f"Class ``platform``: {platform}.")
        firmwares = _model(models["firmware"], (GpuFirmwareValues,), f"Class ``firmware``: {firmware}.")
        exceptions = _model(
            host.appraisal.exceptions,
            (),
            "What an appraisal policy may except from the service's rules: the CPU's; the GPU has none.",
        )
        return IdentityModels(MappingProxyType({**models, "platform": platforms, "firmware": firmwares}), exceptions)

    return joined(
        name,
        Joint(binder=host, others=(GPU,)),
        checks=(Check(f"{name}.gpu", _require_gpu),),
        rules=(*lift_all(host), *lift_beside(GPU, PREFIX)),
        identity=cache(identity),
        observe=observed,
    )
