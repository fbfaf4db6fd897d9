"""One forged machine of every scheme, alive: what it answers a challenge with, whose anchors count, what collateral is published."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from forge.arm_cca import ForgedArm, realm_envelope
from forge.aws_nitro import ForgedNitro
from forge.aws_nitrotpm import ForgedNitroTpm
from forge.azure import ForgedAzure, ForgedAzureTdx
from forge.gcp_vtpm import ForgedGcp
from forge.intel import ForgedIntel
from forge.nvidia_gpu import ForgedNvidia, envelope_with_gpu, gpu_envelope
from forge.nvidia_ocsp import ocsp_documents
from forge.sev_snp import ForgedAmd
from verifier.core.binding import BindingDigest
from verifier.core.envelope import Envelope
from verifier.formats.encoding import sha256
from verifier.formats.x509chain import Anchor

# What every machine's attester is configured with, measured in the place that its scheme has for it.
CONFIGURATION: Final = b"the attester's configuration"
_SHA256, _SHA384 = sha256(CONFIGURATION), hashlib.sha384(CONFIGURATION).digest()
_SHA512 = hashlib.sha512(CONFIGURATION).digest()

Collateral = Mapping[tuple[str, str], bytes]


@dataclass(frozen=True, slots=True)
class ForgedMachine:
    """``make`` answers a challenge; ``anchors`` by the scheme whose folder they lie in; ``collateral`` by kind and key."""

    scheme: str
    make: Callable[[BindingDigest], Envelope]
    anchors: Mapping[str, tuple[Anchor, ...]]
    collateral: Collateral = field(default_factory=dict)


class Provider:
    """An attester's provider over a forged machine (``attester.providers.Provider``)."""

    size: Literal["whole", "short"] = "whole"

    def __init__(self, machine: ForgedMachine) -> None:
        self.scheme = machine.scheme
        self._make = machine.make

    def collect(self, digest: BindingDigest) -> Envelope:
        """Answer the challenge."""
        return self._make(digest)

    def measure_config(self, config: bytes) -> None:
        """Nothing is configured from outside."""

    def close(self) -> None:
        """Nothing is open."""


def _snp(amd: ForgedAmd) -> Callable[[BindingDigest], Envelope]:
    def make(digest: BindingDigest) -> Envelope:
        report = amd.report(report_data=digest.whole, host_data=_SHA256)
        return Envelope("sev-snp", {"report": report}, amd.endorsements())

    return make


def _intel(intel: ForgedIntel, tee: Any) -> Callable[[BindingDigest], Envelope]:
    fields = {"mrconfigid": _SHA384} if tee == "tdx" else {"configid": _SHA512}
    return lambda digest: intel.envelope(tee, digest, **fields)


def _plain(scheme: str, forge: Any) -> Callable[[BindingDigest], Envelope]:
    """Make envelopes of a forge that has ``parts(digest)`` and maybe ``endorsements()``."""
    given = getattr(forge, "endorsements", dict)
    return lambda digest: Envelope(scheme, forge.parts(digest), dict(given()))


def forged_machines(now: int, label: str = "0") -> dict[str, ForgedMachine]:
    """Return a machine of every scheme but ``tpm2`` (whose keys are enrolled first). ``label`` tells machines of a kind apart."""
    seed = f"machine {label}".encode()
    amd, intel, gpu = ForgedAmd("Milan", now=now, seed=seed), ForgedIntel(now=now, seed=seed), ForgedNvidia(seed=seed)
    arm = ForgedArm(now=now, seed=seed)
    nitro, nitro_tpm = ForgedNitro(now=now), ForgedNitroTpm(now=now, label=f"nitrotpm {label}")
    azure, azure_tdx = ForgedAzure(amd, now=now, label=label), ForgedAzureTdx(intel, now=now, label=label)
    gcp = ForgedGcp(now=now, label=label)
    for vm in (azure, azure_tdx, gcp):
        vm.configured(CONFIGURATION)
    snp_anchors, intel_anchors, gpu_anchors = (amd.anchor(),), (intel.anchor(),), (gpu.anchor(),)
    snp_lists: Collateral = {("sev-snp.crl", "Milan"): amd.crl()}
    gpu_answers: Collateral = ocsp_documents(gpu, now)
    made = (
        ForgedMachine("sev-snp", _snp(amd), {"sev-snp": snp_anchors}, snp_lists),
        ForgedMachine("tdx", _intel(intel, "tdx"), {"tdx": intel_anchors}, intel.answers("tdx")),
        ForgedMachine("sgx", _intel(intel, "sgx"), {"sgx": intel_anchors}, intel.answers("sgx")),
        ForgedMachine("aws-nitro", _plain("aws-nitro", nitro), {"aws-nitro": (nitro.anchor(),)}),
        ForgedMachine("aws-nitrotpm", _plain("aws-nitrotpm", nitro_tpm), {"aws-nitrotpm": (nitro_tpm.anchor(),)}),
        ForgedMachine("arm-cca", lambda digest: realm_envelope(arm, digest, _SHA512), {"arm-cca": (arm.anchor(),)}),
        ForgedMachine("nvidia-gpu", lambda digest: gpu_envelope(gpu, digest), {"nvidia-gpu": gpu_anchors}, gpu_answers),
        ForgedMachine(
            "azure-snp-vtpm",
            _plain("azure-snp-vtpm", azure),
            {"sev-snp": snp_anchors, "azure-snp-vtpm": (azure.ca.anchor(),)},
            snp_lists,
        ),
        ForgedMachine(
            "azure-tdx-vtpm",
            _plain("azure-tdx-vtpm", azure_tdx),
            {"tdx": intel_anchors, "azure-tdx-vtpm": (azure_tdx.ca.anchor(),)},
            intel.answers("tdx"),
        ),
        ForgedMachine("gcp-vtpm", _plain("gcp-vtpm", gcp), {"gcp-vtpm": (gcp.ca.anchor(),)}),
        ForgedMachine(
            "sev-snp-gpu",
            lambda digest: envelope_with_gpu("sev-snp-gpu", gpu, digest, _snp(amd)),
            {"sev-snp": snp_anchors, "nvidia-gpu": gpu_anchors},
            {**snp_lists, **gpu_answers},
        ),
        ForgedMachine(
            "tdx-gpu",
            lambda digest: envelope_with_gpu("tdx-gpu", gpu, digest, _intel(intel, "tdx")),
            {"tdx": intel_anchors, "nvidia-gpu": gpu_anchors},
            {**intel.answers("tdx"), **gpu_answers},
        ),
        ForgedMachine(
            "azure-snp-vtpm-gpu",
            lambda digest: envelope_with_gpu("azure-snp-vtpm-gpu", gpu, digest, _plain("azure-snp-vtpm", azure)),
            {"sev-snp": snp_anchors, "azure-snp-vtpm": (azure.ca.anchor(),), "nvidia-gpu": gpu_anchors},
            {**snp_lists, **gpu_answers},
        ),
        ForgedMachine(
            "azure-tdx-vtpm-gpu",
            lambda digest: envelope_with_gpu("azure-tdx-vtpm-gpu", gpu, digest, _plain("azure-tdx-vtpm", azure_tdx)),
            {"tdx": intel_anchors, "azure-tdx-vtpm": (azure_tdx.ca.anchor(),), "nvidia-gpu": gpu_anchors},
            {**intel.answers("tdx"), **gpu_answers},
        ),
    )
    return {machine.scheme: machine for machine in made}


HOST_EXCLUDED: Final = frozenset(
    {
        *("sev-snp", "tdx", "sgx", "arm-cca", "azure-snp-vtpm", "azure-tdx-vtpm"),
        *("sev-snp-gpu", "tdx-gpu", "azure-snp-vtpm-gpu", "azure-tdx-vtpm-gpu"),
    }
)
