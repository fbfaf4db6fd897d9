"""Vectors of ``tdx-gpu``: its own, and those of ``tdx`` and ``nvidia-gpu`` beside a wholesome other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Final

from attester.envelope import Envelope
from tests.support.composites import GpuComposite, parts_of, with_base
from tests.support.vectors import PartForm, Vector, base_of
from tests.vectors.dcap.forging import INTEL, NOW
from tests.vectors.nvidia_gpu import recipes as gpu
from tests.vectors.tdx import recipes as tdx
from verifier.core.binding import BindingDigest
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.tdx_gpu.scheme import SCHEME

# Endorsements are read by the schemes inside, under their own ids.
NOT_IDS: Final = frozenset(f"tdx-gpu.endorsement.{name}" for name in SCHEME.form.endorsements)
_END: Final = b"-----END CERTIFICATE-----\n"
_REPORT_DATA: Final = (48 + 520, 48 + 584)


@cache
def machine() -> GpuComposite:
    """Return the wholesome machine of both."""
    alone = base_of(tdx.vectors())
    # Signers without the root that comes along: it is dropped for the pinned one, so a change in it changes nothing.
    collateral = {
        name: data.partition(_END)[0] + _END if name.endswith("_chain") else data
        for name, data in alone.collateral.items()
    }

    def cpu(digest: BindingDigest) -> Envelope:
        quote = INTEL.quote("tdx", report_data=digest.whole)
        return Envelope("tdx", {**alone.parts, "quote": quote}, alone.endorsements)

    return GpuComposite(name="tdx-gpu", cpu=TDX, make=cpu, collateral=collateral, anchors=alone.anchors, now=NOW)


@cache
def vectors() -> tuple[Vector, ...]:
    """Forge the vectors, once a process."""
    values = base_of(tdx.vectors()).rule_values
    made = machine()
    return with_base([*made.own(values), *made.derived(TDX, tdx.vectors()), *made.derived(GPU, gpu.vectors())])


def part_forms() -> Mapping[str, PartForm]:
    """Return what each part of the evidence is."""
    forms = parts_of("tdx", tdx.part_forms(), vectors()[0])
    return {**forms, "tdx.quote": replace(forms["tdx.quote"], signed=(_REPORT_DATA,))}
