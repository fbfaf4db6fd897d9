"""SEV-SNP in words: what each evidence claim means, and what to change where no check or rule says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.rules import TCB_WORDS

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
