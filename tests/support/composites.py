"""Vectors of composites that are made of whole envelopes: those of the schemes inside, each beside a wholesome rest, and their own.

A fault of an inner part has to show in the composite under the very id that it has alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from forge.nvidia_gpu import ForgedNvidia, envelope_with_gpu, gpu_envelope
from forge.nvidia_ocsp import ocsp_answers
from tests.support.vectors import Outcome, PartForm, Vector, base_of, folder_of, forging
from tests.vectors.nvidia_gpu import recipes as gpu_recipes
from verifier.core.binding import BindingDigest, Context, binding_digest, evidence_component
from verifier.core.envelope import Envelope
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509chain import Anchor
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Scheme
from verifier.tee.verified import Bound, UnsafeUnbound

CONTEXT: Final = Context("https://v/t/default", "default", "web", "vault")
DIGEST: Final = binding_digest(bytes(range(64)), b"\x01" * 32, b"\x02" * 32, CONTEXT)
OTHER_DIGEST: Final = binding_digest(bytes(64), b"\x01" * 32, b"\x02" * 32, CONTEXT)
_END: Final = b"-----END CERTIFICATE-----\n"
HOPPER, OTHER, SWITCH = gpu_recipes.HOPPER, gpu_recipes.OTHER, gpu_recipes.SWITCH


def flat(envelope: Envelope) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return parts and endorsements as ``core.wire.flatten`` names them."""
    parts: dict[str, bytes] = {}
    endorsements: dict[str, bytes] = {}
    for component in envelope.components:
        prefix = folder_of(component.scheme)
        parts |= {f"{prefix}.{name}": data for name, data in component.parts.items()}
        endorsements |= {f"{prefix}.{name}": data for name, data in component.endorsements.items()}
    return parts, endorsements


@dataclass(frozen=True, slots=True)
class GpuComposite:
    """What makes the vectors of a composite of a host and a GPU. ``quoted`` are the parts of the host that carry a digest.

    ``cpu_root``: what a host without its vendor's root is refused with, where that is an inner scheme's id.
    """

    cpu: Scheme[Any, Any]
    alone: Vector  # the wholesome host
    quoted: Callable[[BindingDigest], Mapping[str, bytes]]
    cpu_root: str = ""

    @property
    def name(self) -> str:
        """The composite's name."""
        return f"{self.cpu.name}-gpu"

    @property
    def anchors(self) -> tuple[Anchor, ...]:
        """The host's roots."""
        return self.alone.anchors

    @property
    def now(self) -> int:
        """When the host's evidence is good."""
        return self.alone.now

    @property
    def collateral(self) -> Mapping[str, bytes]:
        """The host's. Signers have no root with them: it is dropped for the pinned one, so a change in it changes nothing."""
        return {
            name: data.partition(_END)[0] + _END if name.endswith("_chain") else data
            for name, data in self.alone.collateral.items()
        }

    def make(self, digest: BindingDigest) -> Envelope:
        """Make the host's evidence that carries a digest."""
        return Envelope(self.cpu.name, {**self.alone.parts, **self.quoted(digest)}, self.alone.endorsements)

    def vouching(self, digest: BindingDigest, gpu: ForgedNvidia = HOPPER) -> BindingDigest:
        """Return the digest that vouches for a GPU's evidence."""
        beside = gpu_envelope(gpu, digest)
        return digest.over((evidence_component(beside.scheme, beside.parts),))

    def wholesome(self, gpu: ForgedNvidia = HOPPER, envelope: Envelope | None = None) -> Vector:
        """Make a wholesome machine, or the one of an envelope, bound to the challenge."""
        made = envelope_with_gpu(self.name, gpu, DIGEST, self.make) if envelope is None else envelope
        parts, endorsements = flat(made)
        return Vector(
            scheme=self.name,
            parts=parts,
            endorsements=endorsements,
            collateral={**self.collateral, **ocsp_answers(gpu, self.now)},
            anchors=(*self.anchors, gpu.anchor()),
            now=self.now,
            expected=Bound(DIGEST),
        )

    @property
    def vector(self) -> Callable[..., Vector]:
        """Forge one vector."""
        return forging(self.wholesome)

    def own(self) -> list[Vector]:
        """Return the composite's own vectors."""
        no, user_data = "rejected", "binding.user-data"
        gpu = gpu_envelope(HOPPER, DIGEST)

        def of(cpu: BindingDigest, beside: Envelope = gpu) -> Envelope:
            return Envelope(self.name, {}, {}, (self.make(cpu), beside))

        vouching = self.vouching(DIGEST)
        renamed = DIGEST.over((evidence_component("nvidia-switch", gpu.parts),))
        twice = DIGEST.over((evidence_component(gpu.scheme, gpu.parts),) * 2)
        stale = gpu_envelope(HOPPER, OTHER_DIGEST)
        # The GPU's evidence was made for another challenge, and the CPU vouches for it all the same.
        stale_vouched = DIGEST.over((evidence_component(stale.scheme, stale.parts),))
        everything = {**self.alone.rule_values, **gpu_recipes.everything()}
        return [
            self.vector("everything", values=everything),
            self.vector("unbound", expected=UnsafeUnbound()),
            self.vector(
                "vendors-roots-beside",
                anchors=(*GPU.verification.anchors, *self.cpu.verification.anchors, *self.anchors, HOPPER.anchor()),
            ),
            self.vector("a-switch", no, f"{self.name}.gpu", gpu=SWITCH),
            self.vector("other-challenge", no, user_data, expected=Bound(OTHER_DIGEST)),
            self.vector("cpu-vouches-for-nothing", no, user_data, envelope=of(DIGEST)),
            self.vector("cpu-vouches-under-another-name", no, user_data, envelope=of(renamed)),
            self.vector("cpu-vouches-twice", no, user_data, envelope=of(twice)),
            self.vector(
                "gpu-of-another-machine", no, user_data, gpu=OTHER, envelope=of(vouching, gpu_envelope(OTHER, DIGEST))
            ),
            self.vector("gpu-evidence-swapped-in", no, user_data, envelope=of(vouching, stale)),
            self.vector("gpu-evidence-of-another-challenge", no, user_data, envelope=of(stale_vouched, stale)),
            self.vector(
                "gpus-root-for-the-cpu",
                no,
                self.cpu_root or f"{self.cpu.name}.chain.root",
                anchors=(*GPU.verification.anchors, HOPPER.anchor()),
            ),
        ]

    def derived(self, inner: Scheme[Any, Any], vectors: tuple[Vector, ...]) -> list[Vector]:
        """Return an inner scheme's vectors beside a wholesome rest; unbound, for they carry no composite's digest."""
        return [made for vector in vectors if (made := self._beside(inner, vector)) is not None]

    def _beside(self, inner: Scheme[Any, Any], vector: Vector) -> Vector | None:
        if vector.check_id == "binding.user-data":
            return None  # the composite has its own
        parts, endorsements = flat(envelope_with_gpu(self.name, HOPPER, DIGEST, self.make))
        prefix = f"{folder_of(inner.name)}."
        kept = {name: data for name, data in parts.items() if not name.startswith(prefix)}
        carried = {name: data for name, data in endorsements.items() if not name.startswith(prefix)}
        is_gpu = inner.name == GPU.name
        outcome, check_id = self._told(inner, vector)
        if is_gpu and vector.outcome == "accepted" and vector.name == "switch":
            outcome, check_id = "rejected", f"{self.name}.gpu"
        return replace(
            vector,
            name=f"{inner.name}: {vector.name}",
            scheme=self.name,
            parts={**kept, **{f"{prefix}{name}": data for name, data in vector.parts.items()}},
            endorsements={**carried, **{f"{prefix}{name}": data for name, data in vector.endorsements.items()}},
            collateral={**self.collateral, **vector.collateral} if is_gpu else vector.collateral,
            anchors=(*(self.anchors if is_gpu else (HOPPER.anchor(),)), *vector.anchors),
            # The CPU's certificates are not valid for ever, as the GPU's are.
            now=self.now if is_gpu and "9999" in vector.name else vector.now,
            expected=UnsafeUnbound(),
            outcome=outcome,
            check_id=check_id,
        )

    def _told(self, inner: Scheme[Any, Any], vector: Vector) -> tuple[Outcome, str]:
        """What is missing is called by the composite's name; everything else as in the scheme alone."""
        missing = sorted(inner.form.required - vector.parts.keys())
        if missing:
            return "malformed", f"{self.name}.decode.{folder_of(inner.name)}.{missing[0]}"
        if vector.check_id == "wire.evidence.parts":
            return vector.outcome, "wire.evidence.components"
        if vector.outcome != "cannot-decide":
            return vector.outcome, vector.check_id
        try:
            needs = inner.collateral.needs(inner.form.decode(vector.parts), vector.endorsements)
        except MalformedEvidence:
            return vector.outcome, vector.check_id
        absent = [need.name for need in needs if need.required and need.name not in vector.collateral]
        return vector.outcome, f"{self.name}.endorsement.{absent[0]}" if absent else vector.check_id


def parts_of(made: GpuComposite, forms: Mapping[str, PartForm], base: Vector) -> dict[str, PartForm]:
    """Return the part forms of a composite: the inner ones, with what carries the challenge as the range to flip.

    Every bit that is signed is flipped in the schemes' own suites.
    """
    found: dict[str, PartForm] = {}
    for scheme, own in ((made.cpu.name, forms), (GPU.name, gpu_recipes.part_forms())):
        for name, form in own.items():
            full = f"{folder_of(scheme)}.{name}"
            if full in base.parts:
                decode_id = form.decode_id or f"{scheme}.decode.{name}"
                found[full] = replace(form, signed=(), decode_id=decode_id)
    nonce = "nvidia_gpu.spdm_report"
    found[nonce] = replace(found[nonce], signed=((4, 36),))
    digest = made.vouching(DIGEST)
    for full in (f"{folder_of(made.cpu.name)}.{name}" for name in made.quoted(digest)):
        carried = next((data for data in (digest.whole, digest.short) if data in base.parts[full]), None)
        if carried is not None:
            at = base.parts[full].index(carried)
            found[full] = replace(found[full], signed=((at, at + len(carried)),))
    return found


class GpuRecipes(NamedTuple):
    """What the recipes of a composite of a host and a GPU export."""

    machine: Callable[[], GpuComposite]
    vectors: Callable[[], tuple[Vector, ...]]
    part_forms: Callable[[], Mapping[str, PartForm]]


def with_gpu(
    name: str, host: ModuleType, quoted: Callable[[BindingDigest], Mapping[str, bytes]], cpu_root: str = ""
) -> GpuRecipes:
    """Make the recipes of a host with a GPU, as ``verifier.tee.gpu.with_gpu`` makes the scheme. ``host``: the host's own recipes."""

    @cache
    def machine() -> GpuComposite:
        return GpuComposite(SCHEMES[name], base_of(host.vectors()), quoted, cpu_root)

    @cache
    def vectors() -> tuple[Vector, ...]:
        made = machine()
        found = (*made.own(), *made.derived(made.cpu, host.vectors()), *made.derived(GPU, gpu_recipes.vectors()))
        base = base_of(found)
        if base is not found[0] or not isinstance(base.expected, Bound):
            raise AssertionError("the first vector is to be accepted and bound")
        return found

    def part_forms() -> Mapping[str, PartForm]:
        return parts_of(machine(), host.part_forms(), vectors()[0])

    return GpuRecipes(machine, vectors, part_forms)
