"""Identity fields that both of Azure's composites have."""

from __future__ import annotations

from verifier.tee.tpm2.identity import KeyDigests
from verifier.tee.values import Values


class VmConfiguration(Values):
    """What the paravisor says of the virtual machine (``vm-configuration``), switch by switch."""

    console_enabled: bool | None = None
    secure_boot: bool | None = None
    tpm_enabled: bool | None = None
    tpm_persisted: bool | None = None
    filtered_vpci_devices_allowed: bool | None = None


class AzurePlatform(Values):
    """Which machines: SHA-256 of the SubjectPublicKeyInfo of the AKs that count here."""

    ak_digests: KeyDigests | None = None


class AzureFirmware(Values):
    """How the paravisor set the virtual machine up."""

    vm_configuration: VmConfiguration | None = None
