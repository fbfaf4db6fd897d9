"""Is the device wanted? One id each; docs/tee/nvidia-gpu.md says what each means."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope, TrustClaim
from verifier.tee.judges import Read, Rows, bins_of, judged_by, none_of, one_of, same
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

ANY: Final = "any"
REQUIRED: Final = "required"
_SHOWN: Final = 8  # blocks that a detail lists


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


def _of(read: Callable[[GpuEvidence], Any]) -> Read:
    return lambda verified: read(verified.evidence)


_ROW: Final = Rows("nvidia-gpu")
_DEVICE: Final[TrustClaim] = "instance-identity"
_PCIE: Final = same(_of(lambda evidence: switch_status(evidence, "protected_pcie")), "protected PCIe")
_NVDEC0: Final = same(_of(lambda evidence: switch_status(evidence, "nvdec0_status")), "NVDEC0")
# fmt: off
RULES: Final[tuple[GpuRule, ...]] = (
    _ROW("chip", "platform.chips", one_of("chip", _of(lambda evidence: evidence.chip)), "hardware", "certificate_chain"),
    _ROW("product", "platform.products", one_of("product", _of(product)), "hardware", "opaque_project",
         "opaque_project_sku", "opaque_chip_sku"),
    _ROW("feature", "platform.features", one_of("feature flag", _of(feature)), "configuration", "opaque_feature_flag"),
    _ROW("protected-pcie", "platform.protected_pcie", _PCIE, "configuration", "opaque_protected_pcie"),
    _ROW("nvdec0", "platform.nvdec0_enabled", _NVDEC0, "configuration", "opaque_nvdec0_status"),
    _ROW("device.allow", "platform.device_allow", one_of("device", _of(device_serial)), _DEVICE, "certificate_chain"),
    _ROW("device.deny", "platform.device_deny", none_of("device", _of(device_serial)), _DEVICE, "certificate_chain"),
    _ROW("revocation", "platform.revocation", _revocation, _DEVICE, "certificate_chain"),
    _ROW("driver", "firmware.driver_versions", one_of("driver version", _of(driver_version)), "executables",
         "opaque_driver_version"),
    _ROW("vbios", "firmware.vbios_versions", one_of("VBIOS version", _of(vbios_version)), "executables",
         "opaque_vbios_version"),
    _ROW("measurements", "firmware.measurements", _measurements, "executables", "measurements"),
)
# fmt: on

# What checks tie to the chain or the challenge; what no document explains is reported.
_BOUND: Final = frozenset(
    {
        *(f"request_{name}" for name in ("version", "code", "nonce")),
        *(f"response_{name}" for name in ("version", "code", "blocks", "record_length")),
        "opaque_fwid",
        "signature",
    }
)
BINS: Final[Mapping[str, Bin]] = bins_of(layout.FIELDS, judged_by(RULES), bound=_BOUND)


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
