"""Vectors of ``azure-tdx-vtpm-gpu``: its own, and those of ``azure-tdx-vtpm`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import DIGEST, GpuComposite, parts_of, with_base
from tests.support.vectors import base_of
from tests.vectors.azure_tdx_vtpm import recipes as azure
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.vtpm.forging import PCRS
from verifier.core.binding import BindingDigest
from verifier.tee.azure_tdx_vtpm.scheme import SCHEME as AZURE
from verifier.tee.azure_tdx_vtpm_gpu.scheme import SCHEME
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU

_AZURE: Final = base_of(azure.VECTORS)
_END: Final = b"-----END CERTIFICATE-----\n"
# Signers without the root that comes along: it is dropped for the pinned one, so a change in it changes nothing.
_COLLATERAL: Final = {
    name: data.partition(_END)[0] + _END if name.endswith("_chain") else data
    for name, data in _AZURE.collateral.items()
}


def _cpu(digest: BindingDigest) -> Envelope:
    quoted = azure.BASE.quote_parts(digest.short, PCRS)
    return Envelope(AZURE.name, {**_AZURE.parts, **quoted}, _AZURE.endorsements)


MACHINE: Final = GpuComposite(
    name="azure-tdx-vtpm-gpu",
    cpu=AZURE,
    make=_cpu,
    collateral=_COLLATERAL,
    anchors=_AZURE.anchors,
    now=_AZURE.now,
    cpu_root="tdx.chain.root",
)
VECTORS: Final = with_base(
    [*MACHINE.own(_AZURE.rule_values), *MACHINE.derived(AZURE, azure.VECTORS), *MACHINE.derived(GPU, gpu.VECTORS)]
)
_FORMS: Final = parts_of(AZURE.name, azure.PARTS, VECTORS[0])
_QUOTE: Final = "azure_tdx_vtpm.quote"
_EXTRA_DATA: Final = VECTORS[0].parts[_QUOTE].index(MACHINE.vouching(DIGEST).short)
PARTS: Final = {**_FORMS, _QUOTE: replace(_FORMS[_QUOTE], signed=((_EXTRA_DATA, _EXTRA_DATA + 32),))}
# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"azure-tdx-vtpm-gpu.endorsement.{name}" for name in SCHEME.endorsement_names)
