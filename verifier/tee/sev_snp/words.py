"""SEV-SNP in words: what each evidence claim means, and what to change when a check or rule says no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.tee.sev_snp import layout

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

_TCBS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "current_tcb": "security versions that run now",
        "reported_tcb": "security versions that the signing key was derived for",
        "committed_tcb": "security versions below which this machine can no longer be rolled back",
        "launch_tcb": "security versions that ran when the guest was launched",
    }
)

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "version": "version of the report's layout",
        "guest_svn": "security version that the guest's ID block gives the guest",
        "vmpl": "privilege level from which the guest asked for the report (0 is the most privileged)",
        "policy": "guest policy: what the guest's owner allows the host and the firmware",
        "platform_info": "what the platform has switched on",
        "debug": "whether the host may read the guest's memory",
        "migrate_ma": "whether the guest may be moved with the help of a migration agent",
        "smt": "whether the guest may run where a core runs two threads",
        "signing_key": "which key signed: VCEK is the chip's own, VLEK one that AMD loaded for a provider",
        "author_key_en": "whether the ID block's key was itself signed by an author key",
        "current_version": "version of the SEV firmware that runs",
        "committed_version": "version of the SEV firmware below which this machine can no longer be rolled back",
        "family_id": "family of the image, from the ID block",
        "image_id": "name of the image, from the ID block",
        "report_data": "what the guest asked to have signed: here the binding to challenge, keys and request",
        "measurement": "launch digest: everything that was in the guest's memory and vCPUs before it ran",
        "host_data": "what the host gave the guest at launch: here the digest of the attester's configuration",
        "id_key_digest": "digest of the key that signed the ID block",
        "author_key_digest": "digest of the key that signed the ID block's key",
        "report_id": "name of this guest, new at each launch",
        "report_id_ma": "name of its migration agent; all ones is none",
        "chip_id": "name of the chip; all zero where the host masks it",
        **_TCBS,
        **{f"{name}_parts": text for name, text in _TCBS.items()},
        **{f"{name}_parts.{part}": word for name in _TCBS for part, word in TCB_WORDS.items()},
        "product": "generation of the processor, from its CPUID",
        "cpuid_family": "CPUID family of the processor",
        "cpuid_model": "CPUID model of the processor",
        "cpuid_stepping": "CPUID stepping of the processor",
        "launch_mit_vector": "mitigations of known weaknesses that were in place at launch",
        "current_mit_vector": "mitigations of known weaknesses that are in place now",
        "vek": "the certificate of the key that signed",
        "vek.structVersion": "version of the certificate's extensions",
        "vek.productName": "product that the certificate was issued for",
        **{f"vek.{part}": f"{word} that the certificate was issued for" for part, word in TCB_WORDS.items()},
        "vek.hwid": "chip that the certificate was issued for",
        "vek.cspid": "provider that the certificate was issued for",
    }
)

BITS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
    {
        "policy": MappingProxyType(
            {
                "smt allowed": layout.POLICY_SMT,
                "reserved one": layout.POLICY_ONE,
                "migration agent allowed": layout.POLICY_MIGRATE_MA,
                "DEBUG": layout.POLICY_DEBUG,
                "single socket": layout.POLICY_SINGLE_SOCKET,
                "cxl allowed": layout.POLICY_CXL_ALLOW,
                "AES-256-XTS": layout.POLICY_MEM_AES_256_XTS,
                "RAPL disabled": layout.POLICY_RAPL_DIS,
                "ciphertext hiding": layout.POLICY_CIPHERTEXT_HIDING,
                "page swap disabled": layout.POLICY_PAGE_SWAP_DISABLE,
            }
        ),
        "platform_info": MappingProxyType(
            {name.replace("_", " "): place for name, place in layout.PLATFORM_INFO_BITS.items()}
        ),
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

CASE_REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sev-snp.decode.report": "send the report as the firmware gave it: 1184 bytes, reserved fields zero",
        "sev-snp.decode.version": "update the verifier: it reads reports of version 2 to 5",
        "sev-snp.endorsement.vcek": "give the VCEK of this chip at its reported TCB (AMD KDS), DER or one PEM block",
        "sev-snp.endorsement.vlek": "give the VLEK that the provider's host holds, DER or one PEM block",
        "sev-snp.endorsement.ask": "give AMD's ASK (for a VLEK the ASVK) of the product, DER or one PEM block",
        "sev-snp.endorsement.ark": "leave the ARK out, or give AMD's as DER or one PEM block; it is never trusted from here",
    }
)
