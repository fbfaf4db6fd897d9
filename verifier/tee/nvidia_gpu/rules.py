"""Is the device wanted? One id each; docs/tee/nvidia-gpu.md says what each means."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.nvidia_gpu import layout
from verifier.tee.nvidia_gpu.decode import (
    GpuEvidence,
    device_serial,
    driver_version,
    feature,
    product,
    switch_status,
    vbios_version,
)
from verifier.tee.nvidia_gpu.verify import GpuCollateral, revocation
from verifier.tee.scheme import Bin, Matched, Verified

GpuVerified: TypeAlias = Verified[GpuEvidence, GpuCollateral]
GpuRule: TypeAlias = Rule[GpuVerified]
Judge: TypeAlias = Callable[[GpuVerified, Any], Judgement]

ANY: Final = "any"
REQUIRED: Final = "required"
_SHOWN: Final = 8  # blocks that a detail lists


def _one_of(name: str, read: Callable[[GpuEvidence], str | None]) -> Judge:
    """Judge a word of the report: it is there, and on the list."""

    def judge(verified: GpuVerified, expected: Any) -> Judgement:
        seen = read(verified.evidence)
        ok = seen is not None and seen in expected
        return Judgement(ok, seen, "" if ok else f"{name}: got {seen or 'nothing'}, want one of {list(expected)}")

    return judge


def _status(name: str, what: str) -> Judge:
    def judge(verified: GpuVerified, expected: Any) -> Judgement:
        seen = switch_status(verified.evidence, name)
        ok = seen is not None and seen is expected
        return Judgement(ok, seen, "" if ok else f"{what}: got {_on(seen)}, want {_on(expected)}")

    return judge


def _on(status: object) -> str:
    return ("on" if status else "off") if isinstance(status, bool) else "nothing"


def _device_deny(verified: GpuVerified, expected: Any) -> Judgement:
    seen = device_serial(verified.evidence)
    ok = seen not in expected
    return Judgement(ok, seen, "" if ok else f"device: got {seen}, want none of the denied")


def _revocation(verified: GpuVerified, expected: Any) -> Judgement:
    """Judge that NVIDIA called every certificate good. That a revoked one is refused whatever the policy says is a check's."""
    seen = revocation(verified)
    wrong = [f"{where} got {status}" for where, status in seen.items() if status != "good"]
    ok = expected == REQUIRED and bool(seen) and not wrong
    what = ", ".join(wrong) or "got no certificate that NVIDIA answers for"
    return Judgement(ok, dict(seen), "" if ok else f"revocation: {what}, want good")


def _measurements(verified: GpuVerified, expected: Any) -> Judgement:
    """Judge every block: named ones are there and right, and none that is not all zero goes without a name."""
    evidence = verified.evidence
    seen = {str(block.index): block.value.hex() for block in evidence.blocks}
    if not isinstance(expected, Mapping) or all(golden == ANY for golden in expected.values()):
        return Judgement(ok=False, seen=seen, detail="measurements: got nothing to compare, want golden values")
    wrong = [_wrong(index, seen.get(index), golden) for index, golden in expected.items()]
    named = [
        f"block {block.index}: got {block.value.hex()}, want it named or any"
        for block in evidence.blocks
        if any(block.value) and str(block.index) not in expected
    ]
    all_wrong = [text for text in wrong if text] + named
    more = f" and {len(all_wrong) - _SHOWN} more" if len(all_wrong) > _SHOWN else ""
    return Judgement(not all_wrong, seen, "; ".join(all_wrong[:_SHOWN]) + more)


def _wrong(index: str, seen: str | None, golden: Any) -> str:
    if golden == ANY or (seen is not None and seen in golden):
        return ""
    return f"block {index}: got {seen or 'nothing'}, want one of {list(golden)}"


RULES: Final[tuple[GpuRule, ...]] = (
    Rule(
        id="nvidia-gpu.chip",
        scope="platform",
        field="chips",
        judge=_one_of("chip", lambda evidence: evidence.chip or None),
        layout_fields=("certificate_chain",),
        trust_claim="hardware",
        remedy="list the chip as its certificate names it in the platform identity's chips, or use another device",
    ),
    Rule(
        id="nvidia-gpu.product",
        scope="platform",
        field="products",
        judge=_one_of("product", product),
        layout_fields=("opaque_project", "opaque_project_sku", "opaque_chip_sku"),
        trust_claim="hardware",
        remedy="list the board as PROJECT_SKU_CHIPSKU in the platform identity's products",
    ),
    Rule(
        id="nvidia-gpu.feature",
        scope="platform",
        field="features",
        judge=_one_of("feature flag", feature),
        layout_fields=("opaque_feature_flag",),
        trust_claim="configuration",
        remedy="have the host set the confidential-computing mode that the platform identity lists in features",
    ),
    Rule(
        id="nvidia-gpu.protected-pcie",
        scope="platform",
        field="protected_pcie",
        judge=_status("protected_pcie", "protected PCIe"),
        layout_fields=("opaque_protected_pcie",),
        trust_claim="configuration",
        remedy="have the host switch protected PCIe as the platform identity's protected_pcie says",
    ),
    Rule(
        id="nvidia-gpu.nvdec0",
        scope="platform",
        field="nvdec0_enabled",
        judge=_status("nvdec0_status", "NVDEC0"),
        layout_fields=("opaque_nvdec0_status",),
        trust_claim="configuration",
        remedy="have the host switch the video decoder as the platform identity's nvdec0_enabled says",
    ),
    Rule(
        id="nvidia-gpu.device.allow",
        scope="platform",
        field="device_allow",
        judge=_one_of("device", device_serial),
        layout_fields=("certificate_chain",),
        trust_claim="instance-identity",
        remedy="add the device's serial number to the platform identity's device_allow",
    ),
    Rule(
        id="nvidia-gpu.device.deny",
        scope="platform",
        field="device_deny",
        judge=_device_deny,
        layout_fields=("certificate_chain",),
        trust_claim="instance-identity",
        remedy="use another device: this one is on the platform identity's device_deny",
    ),
    Rule(
        id="nvidia-gpu.revocation",
        scope="platform",
        field="revocation",
        judge=_revocation,
        layout_fields=("certificate_chain",),
        trust_claim="instance-identity",
        remedy="try again when the verifier has fetched NVIDIA's OCSP answers, or import them; offline, list revocation in unchecked",
    ),
    Rule(
        id="nvidia-gpu.driver",
        scope="firmware",
        field="driver_versions",
        judge=_one_of("driver version", driver_version),
        layout_fields=("opaque_driver_version",),
        remedy="install a driver that the firmware identity's driver_versions lists, or add this one",
    ),
    Rule(
        id="nvidia-gpu.vbios",
        scope="firmware",
        field="vbios_versions",
        judge=_one_of("VBIOS version", vbios_version),
        layout_fields=("opaque_vbios_version",),
        remedy="flash a VBIOS that the firmware identity's vbios_versions lists, or add this one",
    ),
    Rule(
        id="nvidia-gpu.measurements",
        scope="firmware",
        field="measurements",
        judge=_measurements,
        layout_fields=("measurements",),
        remedy="compare driver and VBIOS with those that the golden measurements were taken from, or take them anew",
    ),
)

# What checks tie to the chain or the challenge; what no document explains is told and judged by nobody.
_BOUND: Final = frozenset(
    {
        *(f"request_{name}" for name in ("version", "code", "nonce")),
        *(f"response_{name}" for name in ("version", "code", "blocks", "record_length")),
        "opaque_fwid",
        "signature",
    }
)
_JUDGED: Final = frozenset(name for rule in RULES for name in rule.layout_fields)


def _bin(name: str) -> Bin:
    if name in _BOUND:
        return "bound"
    return "rules" if name in _JUDGED else "reported"


BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: _bin(name) for name in layout.FIELDS})


def measurement(verified: GpuVerified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over index and value of every block that a matched firmware identity judges, ascending; of all where none does."""
    golden = next((m.values.get("measurements") for m in matched if m.scope == "firmware"), None)
    judged = {index for index, value in golden.items() if value != ANY} if golden else None
    digest = hashlib.sha256()
    for block in verified.evidence.blocks:
        if judged is None or str(block.index) in judged:
            digest.update(bytes((block.index,)) + len(block.value).to_bytes(2, "big") + block.value)
    return digest.hexdigest()


def instance(verified: GpuVerified) -> tuple[str, str]:
    """Name the device by its own certificate's key and serial number: the leaf changes with its firmware."""
    device = verified.evidence.chain[1]
    return "nvidia-gpu.device", hashlib.sha256(device.spki).hexdigest()


def observe(verified: GpuVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this very device says: lists of one, and golden values of every block that is not all zero."""
    evidence = verified.evidence
    words = {
        "chips": evidence.chip or None,
        "products": product(evidence),
        "features": feature(evidence) if feature(evidence) in layout.FEATURES.values() else None,
        "device_allow": device_serial(evidence),
    }
    known = revocation(verified)
    asked = REQUIRED if known and all(status == "good" for status in known.values()) else None
    versions = {"driver_versions": driver_version(evidence), "vbios_versions": vbios_version(evidence)}
    return {
        "platform": {
            **{name: [word] if word else None for name, word in words.items()},
            "device_deny": [],
            "revocation": asked,
        },
        "firmware": {
            **{name: [word] if word else None for name, word in versions.items()},
            "measurements": {str(b.index): [b.value.hex()] for b in evidence.blocks if any(b.value)} or None,
        },
    }


# What a machine's identities call these fields, beside the CPU's own.
BESIDE: Final = "gpu_"


def observe_beside(verified: GpuVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say the same as a composite's identities say it."""
    return {
        scope: {f"{BESIDE}{name}": value for name, value in values.items()}
        for scope, values in observe(verified).items()
    }
