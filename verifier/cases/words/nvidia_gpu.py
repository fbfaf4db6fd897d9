"""What each claim of the evidence means, in plain words, and what to do where it cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.tee.nvidia_gpu.layout import OPAQUE

_OPAQUE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cert_issuer_name": "name of the issuer of the device's certificate",
        "cert_authority_key_id": "key identifier of that issuer",
        "driver_version": "version of the driver that asked, as text",
        "gpu_info": "about the GPU; no public document says what",
        "sku": "stock-keeping unit",
        "vbios_version": "version of the firmware in the device's flash, as bytes",
        "manufacturer_id": "who made the device",
        "tamper_detection": "state of tamper detection",
        "smc": "state of SMC; no public document says what",
        "vpr": "state of the video protected region",
        "nvdec0_status": "video decoder 0: aa enabled, 55 disabled",
        "msr_counts": "a count for each measurement; no public document says of what",
        "cpr_info": "about the compute protected region",
        "board_id": "board",
        "chip_sku": "chip's SKU, as text",
        "chip_sku_mod": "modifier of the chip's SKU",
        "project": "board's project, as text",
        "project_sku": "project's SKU, as text",
        "project_sku_mod": "modifier of the project's SKU",
        "fwid": "digest of the first firmware, as the device's own key measured it",
        "protected_pcie": "protected PCIe: aa on, 55 off",
        "switch_pdi": "identity of the switch, or of the switches at the GPU's links",
        "floorswept_ports": "ports of the switch that are fused off",
        "position_id": "where in the machine the switch sits",
        "lock_status": "whether the switch's configuration is locked",
        "gpu_pdis": "identities of the GPUs at the switch's ports",
        "gpu_link_connections": "which links of the GPU are connected",
        "system_enable_status": "status of the system; no public document says what",
        "opaque_version": "version of these fields",
        "chip_info": "name of the chip, as text",
        "feature_flag": "mode: 0 one GPU, 1 several, 2 protected PCIe",
        "invalid": "filler",
    }
)

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "request_nonce": "the challenge, as the requester put it into the SPDM request",
        "response_nonce": "a random value of the device's own",
        "slot": "which of the device's certificate chains signed",
        "measurement_blocks": "how many measurements the device gave",
        "measurements": "measurement by block number: digests of firmware and settings, or raw bytes",
        "opaque_fields": "what NVIDIA adds to the SPDM response, by field number",
        **{f"opaque_fields.{number}": _OPAQUE[name] for number, name in OPAQUE.items()},
        "leaf_subject": "who the certificate says has signed: chip, and the firmware's key",
        "leaf_fwid_extension_present": "whether the certificate carries the digest of the first firmware",
        "chip": "the chip's family, from the certificate",
        "device_serial": "serial number of the device's own certificate: it stays while firmware changes",
        "driver_version": "version of the driver that asked for the report",
        "vbios_version": "version of the firmware in the device's flash",
        "product": "board: project, its SKU and the chip's, by which NVIDIA names reference measurements",
        "feature": "confidential-computing mode: SPT one GPU, MPT several, PPCIE protected PCIe",
        "protected_pcie": "whether protected PCIe is on",
        "nvdec0_enabled": "whether video decoder 0 is on",
    }
)
