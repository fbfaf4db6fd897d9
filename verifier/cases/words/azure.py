"""Azure's composites in words: HCL report, runtime claims, vTPM quote; and what to change where reading says no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words.vtpm import QUOTE_WORDS

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hcl": "report that the paravisor left in the vTPM at boot",
        "hcl.version": "version of the report's layout",
        "hcl.report_size": "bytes of the report without padding",
        "hcl.request_type": "what was asked for (2: a hardware report)",
        "hcl.report_type": "whose report is inside (2: SNP, 4: TDX)",
        "hcl.hash_type": "hash by which the hardware report names the runtime claims (1: SHA-256)",
        "hcl.var_size": "bytes of the runtime claims",
        "hcl.data_size": "bytes of the request data: its header and the runtime claims",
        "runtime_claims": "what the paravisor says of the machine; the hardware report carries its hash",
        "runtime_claims.kids": "names of the vTPM's keys: attestation key and endorsement key",
        "runtime_claims.vm_configuration": "how the virtual machine was set up",
        "runtime_claims.vm_configuration.console-enabled": "whether the host gives the machine a serial console",
        "runtime_claims.vm_configuration.secure-boot": "whether the machine was set up with Secure Boot",
        "runtime_claims.vm_configuration.tpm-enabled": "whether the machine has a vTPM",
        "runtime_claims.vm_configuration.tpm-persisted": "whether the vTPM keeps its state over a stop",
        "runtime_claims.vm_configuration.filtered-vpci-devices-allowed": "whether filtered virtual PCI devices are let in",
        "runtime_claims.vm_configuration.root-cert-thumbprint": "hash of the certificate by which the disk's key is released",
        "runtime_claims.vm_configuration.vmUniqueId": "name that the host gave the machine",
        "runtime_claims.user_data": "64 bytes that the guest wrote before the report was made",
        "tpm": "quote of the vTPM: the only part that is fresh",
        **{f"tpm.{name}": text for name, text in QUOTE_WORDS.items()},
        "ak_cert_subject": "name in the certificate that Azure gave the attestation key",
    }
)
