"""The scheme's record: what ``nvidia_gpu`` hands to the registry.

``host_excluded`` is false: a GPU vouches for itself alone. Which virtual machine it is plugged into, and who reads the link, is the
CPU report's to say, so only a composite (``sev-snp-gpu``, ``tdx-gpu``) excludes the host.
"""

from __future__ import annotations

from typing import Final

from verifier.tee.chain import pinned
from verifier.tee.nvidia_gpu import layout, rules, verify
from verifier.tee.nvidia_gpu.decode import GpuEvidence, decode, encode, evidence_claims
from verifier.tee.nvidia_gpu.verify import GpuCollateral
from verifier.tee.scheme import Binding, CollateralOf, Form, Scheme, TokenOf, Verification, appraisal_of

ANCHORS: Final = (pinned(__package__, "NVIDIA Device Identity CA", "nvidia_device_identity_ca.der"),)

SCHEME: Final[Scheme[GpuEvidence, GpuCollateral]] = Scheme(
    name=verify.NAME,
    host_excluded=False,
    form=Form(required=frozenset({"spdm_report", "cert_chain"}), decode=decode, encode=encode, claims=evidence_claims),
    binding=Binding(size="short", value=lambda evidence: evidence.nonce),
    collateral=CollateralOf(needs=verify.needs, collate=verify.collate),
    verification=Verification(checks=verify.CHECKS, anchors=ANCHORS, root=verify.CHAIN.root_of),
    appraisal=appraisal_of(f"{__package__}.identity", rules, layout.FIELDS, "firmware"),
    token=TokenOf(
        measurement=rules.measurement,
        instance=rules.instance,
        # NVIDIA's production chain is given to production fuses alone; the report has no bit that says so.
        debug_status=lambda _evidence: "disabled",
    ),
)
