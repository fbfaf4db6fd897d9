"""Composites of a CPU and a GPU as they travel: from the attester's envelope over the wire to a verdict."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from forge.nvidia_gpu import envelope_with_gpu, gpu_envelope
from tests.support.composites import DIGEST, HOPPER, OTHER, GpuComposite
from tests.support.vectors import recipes_of, run_vector, verify_vector
from verifier.core import wire
from verifier.core.envelope import Envelope
from verifier.formats.encoding import canonical
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509chain import Anchor
from verifier.tee.chain import own_anchors
from verifier.tee.nvidia_gpu.scheme import SCHEME as GPU
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Scheme
from verifier.tee.verified import require_parts

AZURE = ("azure-snp-vtpm-gpu", "azure-tdx-vtpm-gpu")
MACHINES = ("sev-snp-gpu", "tdx-gpu", *AZURE)


@pytest.fixture
def machine(request: pytest.FixtureRequest) -> GpuComposite:
    """Return the machine of a scheme's vectors."""
    made: GpuComposite = recipes_of(request.param).machine()
    return made


def received(envelope: Envelope) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Send an envelope as JSON and read it as the service does."""
    model = wire.parse_model(wire.EnvelopeModel, json.dumps(envelope.as_json()).encode())
    return wire.flatten(wire._envelope(model))


def _mandatory(scheme: Scheme[Any, Any]) -> set[str]:
    return {rule.id for rule in scheme.appraisal.rules if rule.mandatory}


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_an_envelope_of_components_is_accepted_as_it_arrives(machine: GpuComposite) -> None:
    scheme = SCHEMES[machine.name]
    parts, endorsements = received(envelope_with_gpu(machine.name, HOPPER, DIGEST, machine.make))
    require_parts(scheme, parts, endorsements)
    sent = replace(machine.vector("sent"), parts=parts, endorsements=endorsements)
    assert run_vector(sent, scheme) == ("accepted", "")


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_the_component_is_the_hash_of_the_gpus_parts_as_they_were_sent(machine: GpuComposite) -> None:
    """Computed here from the design's words alone."""
    scheme = SCHEMES[machine.name]
    beside = gpu_envelope(HOPPER, DIGEST)
    verified = verify_vector(machine.vector("one"), scheme)
    (component,) = scheme.binding.components(verified.evidence)
    form = dict(beside.as_json()["parts"])
    assert component.value == hashlib.sha256(canonical(form)).digest()
    assert (component.scheme, component.kind) == ("nvidia-gpu", "evidence")
    assert verified.bound


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_a_component_left_out_doubled_or_foreign_is_malformed(machine: GpuComposite) -> None:
    scheme = SCHEMES[machine.name]
    whole = envelope_with_gpu(machine.name, HOPPER, DIGEST, machine.make)
    cpu, gpu = whole.components

    def outcome(*components: Envelope) -> str:
        with pytest.raises(MalformedEvidence) as caught:
            require_parts(scheme, *received(replace(whole, components=components)))
        return caught.value.check_id

    assert outcome(cpu).startswith(f"{machine.name}.decode.nvidia_gpu.")
    assert outcome(gpu).startswith(f"{machine.name}.decode.{machine.cpu.name.replace('-', '_')}.")
    assert outcome(cpu, gpu, gpu) == "wire.evidence.components"
    assert outcome(cpu, gpu, Envelope("tpm2", {"quote": b"x"})) == "wire.evidence.components"
    assert outcome(cpu, replace(gpu, endorsements={"ocsp": b"x"})) == "wire.evidence.endorsements"


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_the_order_of_components_means_nothing(machine: GpuComposite) -> None:
    whole = envelope_with_gpu(machine.name, HOPPER, DIGEST, machine.make)
    turned = replace(whole, components=tuple(reversed(whole.components)))
    assert run_vector(machine.vector("turned", envelope=turned), SCHEMES[machine.name]) == ("accepted", "")


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_the_machine_is_the_cpus(machine: GpuComposite) -> None:
    scheme = SCHEMES[machine.name]
    one, other = (verify_vector(machine.vector(str(gpu.serial), gpu=gpu), scheme) for gpu in (HOPPER, OTHER))
    alone = one.inner[machine.cpu.name]
    assert scheme.token.instance(one) == scheme.token.instance(other) == machine.cpu.token.instance(alone)
    assert scheme.token.measurement(one, ()) == machine.cpu.token.measurement(alone, ())
    assert scheme.token.tcb_status(one) == machine.cpu.token.tcb_status(alone)
    assert scheme.host_excluded
    assert _mandatory(scheme) == _mandatory(machine.cpu) | _mandatory(GPU)


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_no_vendor_vouches_for_the_other(machine: GpuComposite) -> None:
    """Whoever holds NVIDIA's key cannot make a CPU, nor the other way round; an operator's root counts for both."""
    private = Anchor("ours", HOPPER.anchor().certificate_der, "private")
    everybody = (*SCHEMES[machine.name].verification.anchors, private)
    assert own_anchors(everybody, GPU.verification.anchors) == (*GPU.verification.anchors, private)
    assert own_anchors(everybody, machine.cpu.verification.anchors) == (*machine.cpu.verification.anchors, private)
    vendor = Anchor("as if built in", HOPPER.anchor().certificate_der, "vendor")
    refused = machine.vector("not its own", anchors=(*machine.anchors, vendor))
    assert run_vector(refused, SCHEMES[machine.name]) == ("rejected", "nvidia-gpu.chain.root")


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_the_weaker_root_is_told(machine: GpuComposite) -> None:
    scheme = SCHEMES[machine.name]
    assert verify_vector(machine.vector("simulated"), scheme).root == "simulated"
    cpu = tuple(Anchor(a.name, a.certificate_der, "private") for a in machine.anchors)
    assert verify_vector(machine.vector("gpu", anchors=(*cpu, HOPPER.anchor())), scheme).root == "simulated"
    gpu = Anchor("gpu", HOPPER.anchor().certificate_der, "private")
    assert verify_vector(machine.vector("both", anchors=(*cpu, gpu)), scheme).root == "private"


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_claims_of_both_parts_stand_apart(machine: GpuComposite) -> None:
    scheme = SCHEMES[machine.name]
    claims: dict[str, Any] = scheme.form.claims(scheme.form.decode(machine.vector("one").parts))
    assert claims.keys() == {machine.cpu.name.replace("-", "_"), "nvidia_gpu"}
    assert claims["nvidia_gpu"]["request_nonce"] == DIGEST.short.hex()


@pytest.mark.parametrize("machine", MACHINES, indirect=True)
def test_what_the_binder_says_the_composite_says(machine: GpuComposite) -> None:
    scheme, vector = SCHEMES[machine.name], machine.vector("one")
    verified = verify_vector(vector, scheme)
    evidence, alone = verified.evidence, verified.inner[machine.cpu.name]
    assert scheme.binding.size == machine.cpu.binding.size
    assert scheme.binding.value(evidence) == machine.cpu.binding.value(alone.evidence)
    assert scheme.token.debug_status(evidence) == machine.cpu.token.debug_status(alone.evidence)
    assert scheme.appraisal.software == machine.cpu.appraisal.software | GPU.appraisal.software
    assert [one.value for one in scheme.binding.also(evidence)] == [DIGEST.short]
    assert set(scheme.verification.anchors_of) == {machine.cpu.name, *machine.cpu.verification.anchors_of, GPU.name}
    prefix = f"{machine.cpu.name.replace('-', '_')}."
    own = {name.removeprefix(prefix): data for name, data in vector.endorsements.items()}
    asked = machine.cpu.collateral.needs(alone.evidence, own)
    assert asked
    assert scheme.collateral.needs(evidence, vector.endorsements) == (
        *GPU.collateral.needs(evidence[GPU.name], {}),
        *asked,
    )


@pytest.mark.parametrize("machine", AZURE, indirect=True)
def test_an_inner_composites_own_parts_are_verified_too(machine: GpuComposite) -> None:
    """The CPU's report stands two levels down; what lifted rules look at has to be there."""
    verified = verify_vector(machine.vector("one"), SCHEMES[machine.name])
    alone = verified.inner[machine.cpu.name]
    (cpu,) = machine.cpu.verification.anchors_of
    assert set(alone.inner) == {cpu}
    assert alone.root == alone.inner[cpu].root == "simulated"


@pytest.mark.parametrize("machine", AZURE, indirect=True)
def test_only_the_quote_is_fresh(machine: GpuComposite) -> None:
    """A GPU that the boot's report would vouch for is none: the quote over nothing is refused beside it."""
    whole = envelope_with_gpu(machine.name, HOPPER, DIGEST, machine.make)
    vm, gpu = whole.components
    alone = machine.make(DIGEST)
    mixed = replace(vm, parts={**vm.parts, "quote": alone.parts["quote"], "quote_sig": alone.parts["quote_sig"]})
    refused = machine.vector("quote of before", envelope=replace(whole, components=(mixed, gpu)))
    assert run_vector(refused, SCHEMES[machine.name]) == ("rejected", "binding.user-data")
