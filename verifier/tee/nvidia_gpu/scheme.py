"""The scheme's record: what ``nvidia_gpu`` hands to the registry.

``host_excluded`` is false: a GPU vouches for itself alone. Which virtual machine it is plugged into, and who reads the link, is the
CPU report's to say, so only a composite (``sev-snp-gpu``, ``tdx-gpu``) excludes the host.
"""

from __future__ import annotations

from importlib.resources import files
from types import MappingProxyType
from typing import Final

from verifier.formats.x509chain import Anchor
from verifier.tee.nvidia_gpu import identity, layout, rules, verify
from verifier.tee.nvidia_gpu.decode import GpuEvidence, decode, encode, evidence_claims
from verifier.tee.nvidia_gpu.verify import GpuCollateral
from verifier.tee.scheme import Scheme

ANCHORS: Final = (
    Anchor(
        "NVIDIA Device Identity CA",
        files("verifier.tee.nvidia_gpu").joinpath("anchors", "nvidia_device_identity_ca.der").read_bytes(),
        "vendor",
    ),
)

SCHEME: Final[Scheme[GpuEvidence, GpuCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=False,
    required_parts=frozenset({"spdm_report", "cert_chain"}),
    endorsement_names=frozenset(),
    binding_size="short",
    decode=decode,
    encode=encode,
    bound_value=lambda evidence: evidence.nonce,
    needs=verify.needs,
    collate=verify.collate,
    checks=verify.CHECKS,
    anchors=ANCHORS,
    rules=rules.RULES,
    identity_models=MappingProxyType({"platform": identity.PlatformValues, "firmware": identity.FirmwareValues}),
    exceptions_model=identity.Exceptions,
    layout_fields=layout.FIELDS,
    bins=rules.BINS,
    evidence_claims=evidence_claims,
    root=verify.root_of,
    measurement=rules.measurement,
    instance=rules.instance,
    # NVIDIA's production chain is given to production fuses alone; the report has no bit that says so.
    debug_status=lambda _evidence: "disabled",
    software_classes=frozenset({"firmware"}),
    observe=rules.observe,
)
