"""What to change when a check or rule of ``sev-snp`` says no, by its id."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# The components of a TCB as firmware vendors call them.
TCB_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fmc": "FMC SVN",
        "bl": "boot loader SVN",
        "tee": "TEE SVN",
        "snp": "SNP firmware SVN",
        "ucode": "microcode SVN",
    }
)

# By check or rule id, one clause for the operator.
REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sev-snp.chain.root": "send the chain of a genuine AMD part; for roots of your own name their anchors in the settings",
        "sev-snp.report.signature-algo": "have the attester send the report as the firmware gave it",
        "sev-snp.signing-key": "send the certificate of the key that signed: VCEK or VLEK as the report's SIGNING_KEY says",
        "sev-snp.chain.constraints": (
            "fetch VCEK or VLEK and ASK or ASVK from AMD's KDS again; these are no certificates that AMD issues"
        ),
        "sev-snp.chain.signature": (
            "fetch the chain of this product from AMD's KDS again: one of its certificates was not signed by the next"
        ),
        "sev-snp.chain.validity": "fetch certificates that are valid at this time, and look at the verifier's clock",
        "sev-snp.endorsement.crl": "let the verifier fetch AMD's revocation list of this product, or import a bundle that has it",
        "sev-snp.chain.revoked": "do not trust this machine: AMD revoked a key of its chain; ask the provider for another",
        "sev-snp.report.signature": "send the report unchanged, with the certificate of this very chip at its reported TCB",
        "sev-snp.report.vmpl": "have the guest ask for the report, not the host",
        "sev-snp.product": "send the certificates of the product that the report names",
        "sev-snp.mask-chip-key": "have the host switch MASK_CHIP_KEY off",
        "sev-snp.chip-id": "send the VCEK of the chip that the report names",
        "sev-snp.tcb.reported": "fetch the VCEK for the TCB that the report states: after a firmware update there is another",
        "sev-snp.tcb.committed": "report this: no firmware of AMD's runs below what it committed",
        "sev-snp.policy.debug": "launch the guest without the DEBUG bit in its guest policy",
        "sev-snp.policy.migrate-ma": "launch the guest without MIGRATE_MA in its guest policy",
        "sev-snp.policy.unknown-bits": "launch the guest with bit 17 set and without bits above 25 in its guest policy",
        "sev-snp.migration-agent": "launch the guest without a migration agent",
        "sev-snp.chip-id.masked": "have the host switch MASK_CHIP_ID off",
        "sev-snp.signing-key.kind": "name the kind of key, and a VLEK's provider, in the platform identity",
        "sev-snp.firmware-version": "update and commit the host's SEV firmware",
        "sev-snp.platform-info": (
            "have the host set these bits in its BIOS, or publish a platform identity that takes them as they are"
        ),
        "sev-snp.mitigations.launch": "update the host's firmware to one with these mitigations and launch the guest anew",
        "sev-snp.mitigations.current": "update the host's firmware to one with these mitigations",
        "sev-snp.chip.allow": "run on a listed machine, or add the chip to chip_allow of the platform identity",
        "sev-snp.chip.deny": "run on another machine; the trust owner denied this chip",
        "sev-snp.vmpl": "have the attester ask for its report at the VMPL that the firmware identity names",
        "sev-snp.guest-policy": "launch the guest with the guest policy that the firmware identity names",
        "sev-snp.guest-policy.abi": "launch the guest with a higher minimum ABI in its guest policy",
        "sev-snp.guest-svn": "launch an image whose ID block has a guest SVN that is high enough",
        "sev-snp.host-data": "launch the guest with the SHA-256 of the attester's configuration as HOST_DATA",
        "sev-snp.tcb.minimum.reported": (
            "update the host's firmware (BIOS, SEV firmware, microcode) to one that reaches the numbers wanted, have "
            "it committed, and launch the guest anew; or lower minimum_tcb in the platform identity"
        ),
        "sev-snp.tcb.minimum.launch": (
            "update the host's firmware (BIOS, SEV firmware, microcode) to one that reaches the numbers wanted, have "
            "it committed, and launch the guest anew; or lower minimum_tcb in the platform identity"
        ),
        "sev-snp.tcb.minimum.committed": (
            "update the host's firmware (BIOS, SEV firmware, microcode) to one that reaches the numbers wanted, have "
            "it committed, and launch the guest anew; or lower minimum_tcb in the platform identity"
        ),
        "sev-snp.measurement": (
            "launch the image that the firmware identity was computed from, with the same vCPUs and command line; "
            "after an update publish a new version (verifier identity compute)"
        ),
        "sev-snp.family-id": "launch the guest with the ID block that the firmware identity was written for",
        "sev-snp.image-id": "launch the guest with the ID block that the firmware identity was written for",
        "sev-snp.id-key-digest": "launch the guest with the ID block that the firmware identity was written for",
        "sev-snp.author-key-digest": "launch the guest with the ID block that the firmware identity was written for",
    }
)
