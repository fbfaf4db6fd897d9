"""What the evidence claims of an Intel quote mean, and what to change where no check or rule says it. For people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "quote_version": "version of the quote's layout",
        "tee_type": "kind of TEE: 0x0 is SGX, 0x81 is TDX",
        "att_key_type": "kind of the attestation key: 2 is ECDSA P-256",
        "body_type": "kind of report: 1 SGX, 2 TD report 1.0, 3 TD report 1.5, 4 TD report 1.5 extended",
        "user_data": "what the quoting enclave put into the header; the first 16 bytes name it",
        "trailing_bytes": "zero bytes after the quote, from a buffer that was larger",
        "report_data": "what the workload asked to have signed: here the binding to challenge, keys and request",
        "debug": "whether the host may read the workload's memory",
        "certification_data_type": "what came with the quote to find the platform's key: 5 is its whole certificate chain",
        "qe": "the quoting enclave, which made the attestation key and signs with it",
        "qe.mrenclave": "measurement of the quoting enclave",
        "qe.mrsigner": "who signed the quoting enclave",
        "qe.isvprodid": "which of its signer's products it is",
        "qe.isvsvn": "its security version",
        "qe.cpusvn": "security versions of the processor when it reported",
        "pck": "the platform's certificate (PCK): which machine, and which TCB Intel certified",
        "pck.ppid": "name of the processor, the same for every owner",
        "pck.pcesvn": "security version of the provisioning certification enclave",
        "pck.cpusvn": "security versions of the processor as one word, for Intel's own use",
        "pck.comps": "the 16 security versions that TCB info is compared to",
        "pck.pceid": "which provisioning certification enclave",
        "pck.fmspc": "family, model, stepping, platform and custom SKU: which TCB info applies",
        "pck.sgxtype": "kind of memory protection: 0 standard, 1 scalable, 2 scalable with integrity",
        "pck.platform_instance_id": "name of this registration of a platform of several processors",
        "pck.config": "how the platform is set up",
        "pck.config.1": "whether processors can be added to the platform",
        "pck.config.2": "whether Intel keeps the platform's root keys",
        "pck.config.3": "whether a core runs two threads",
        "tcb_status": "Intel's word for the platform's TCB as a whole, on the day and with the documents at hand",
        "tcb_date": "day of the oldest of the levels that the platform matched: what was known until then is fixed",
        "tcb_level_status": "Intel's word for the platform's own level, before module and quoting enclave count",
        "tcb_level_index": "which level of the TCB info matched; 0 is the newest",
        "qe_tcb_status": "Intel's word for the quoting enclave's level",
        "tdx_module": "the TDX module that the trust domain was launched under",
        "tdx_module.id": "its identity in the TCB info",
        "tdx_module.isvsvn": "its security version",
        "tdx_module.status": "Intel's word for its level",
        "advisory_ids": "Intel's security advisories that the levels name as open",
        "current_tcb_status": "Intel's word for the TCB with the TDX module that runs now, after a live update",
        "tcb_evaluation_data_number": "which set of TCB info was used; several are in force at once",
        "qe_evaluation_data_number": "which set of QE identity was used",
    }
)

SGX_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "qe_svn": "security version of the quoting enclave, as the header says it",
        "pce_svn": "security version of the provisioning certification enclave, as the header says it",
        "cpusvn": "security versions of the processor when the enclave reported",
        "miscselect": "which extra state is saved when the enclave is interrupted",
        "cet_attributes": "control-flow enforcement of the enclave",
        "attributes": "flags of the enclave and the processor state that it uses (XFRM), as stored",
        "attr_flags": "flags of the enclave: 1 initialised, 2 debug, 4 64 bits, 16 provision key, 32 launch key, 128 KSS",
        "mrenclave": "measurement of the enclave: all that was in it before it ran",
        "mrsigner": "digest of the key that signed the enclave",
        "isvprodid": "which of its signer's products the enclave is",
        "isvsvn": "security version that its signer gave the enclave",
        "isvextprodid": "which of its signer's products the enclave is, at length (KSS)",
        "configid": "what the loader gave the enclave at launch (KSS): here the digest of its configuration",
        "configsvn": "version of that configuration",
        "isvfamilyid": "family of products the enclave is of (KSS)",
    }
)

TDX_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tee_tcb_svn": "security versions of the TDX module and its loader when the trust domain was launched",
        "mrseam": "measurement of the TDX module",
        "mrsignerseam": "who signed the TDX module; zeros are Intel",
        "seamattributes": "attributes of the TDX module; zeros are production",
        "tdattributes": "attributes of the trust domain, as stored: debug, migratable and others",
        "xfam": "processor features that the trust domain may use, as stored",
        "mrtd": "measurement of the trust domain as it was built: its virtual firmware",
        "mrconfigid": "what the owner gave the trust domain at launch: here the digest of the attester's configuration",
        "mrowner": "who owns the trust domain, as the host says it",
        "mrownerconfig": "the owner's configuration, as the host says it",
        "rtmr0": "register of the virtual firmware's configuration: tables, variables, Secure Boot",
        "rtmr1": "register of what the firmware started: boot loader, kernel",
        "rtmr2": "register of what the boot loader measured: command line, initial file system",
        "rtmr3": "register of the application",
        "tee_tcb_svn2": "security versions of the TDX module that runs now",
        "mrservicetd": "the service domains (migration) bound to the trust domain; zeros are none",
        "vmid": "which virtual machine of a partitioned trust domain reported",
        "tdid": "name of the trust domain",
        "devinfo": "devices assigned to the trust domain",
        "init_servtd_hash": "service domains when the trust domain was first launched",
        "init_servtd_attr": "their attributes then",
        "init_cpusvn": "security versions of the processor when the trust domain was first launched",
        "init_tee_tcb_svn": "security versions of the TDX module then",
        "init_tee_fmspc": "the platform then",
        "cur_servtd_hash": "service domains now",
        "cur_servtd_attr": "their attributes now",
    }
)
