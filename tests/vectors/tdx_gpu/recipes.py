"""Vectors of ``tdx-gpu``: its own, and those of ``tdx`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import GpuComposite, parts_of, with_base
from tests.support.vectors import base_of
from tests.vectors.dcap.forging import INTEL, NOW
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.tdx import recipes as tdx
from verifier.core.binding import BindingDigest
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.tdx_gpu.scheme import SCHEME

_TDX: Final = base_of(tdx.VECTORS)
_END: Final = b"-----END CERTIFICATE-----\n"
# Signers without the root that comes along: it is dropped for the pinned one, so a change in it changes nothing.
_COLLATERAL: Final = {
    name: data.partition(_END)[0] + _END if name.endswith("_chain") else data for name, data in _TDX.collateral.items()
}


def _cpu(digest: BindingDigest) -> Envelope:
    quote = INTEL.quote("tdx", report_data=digest.whole)
    return Envelope("tdx", {**_TDX.parts, "quote": quote}, _TDX.endorsements)


MACHINE: Final = GpuComposite(name="tdx-gpu", cpu=TDX, make=_cpu, collateral=_COLLATERAL, anchors=_TDX.anchors, now=NOW)
VECTORS: Final = with_base(
    [*MACHINE.own(_TDX.rule_values), *MACHINE.derived(TDX, tdx.VECTORS), *MACHINE.derived(GPU, gpu.VECTORS)]
)
_FORMS: Final = parts_of("tdx", tdx.PARTS, VECTORS[0])
_REPORT_DATA: Final = (48 + 520, 48 + 584)
PARTS: Final = {**_FORMS, "tdx.quote": replace(_FORMS["tdx.quote"], signed=(_REPORT_DATA,))}
# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"tdx-gpu.endorsement.{name}" for name in SCHEME.endorsement_names)
