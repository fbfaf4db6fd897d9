"""Every published case of a platform that is judged here gets its stated verdict and its claims, judged as the command does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.parts import evidence_root, missing
from verifier.cases.folder import read_case
from verifier.cases.judge import OfflineVerdict, judge_case
from verifier.cases.registry import CASES

# The evidence claims that appear under the case's own names with equal values (issue 3, "Offline judgement").
PROMISED = frozenset(
    {
        *("measurement", "report_data", "host_data", "chip_id", "id_key_digest", "author_key_digest"),
        *("reported_tcb_parts", "committed_tcb_parts", "version", "vmpl", "debug", "signing_key"),
        *("pcr_select", "pcr_digest", "extra_data", "ak_type", "registers"),
        *("hcl", "runtime_claims", "snp", "tpm", "ak_cert_subject", "quotes"),
        *("module_id", "digest", "timestamp_ms", "pcrs", "public_key", "user_data", "nonce", "cabundle_length"),
        *("chain_not_before", "chain_not_after", "leaf_subject", "nitrotpm_pcrs", "tpm", "tpm_signature_checked"),
        *("rtmr2_in_quote", "rtmr2_after_boot_log", "ima_template_hash", "log"),
        *("entries", "template", "pcr10_sha1", "pcr10_sha256"),
        *(
            "quote_version",
            "tee_type",
            "att_key_type",
            "body_type",
            "trailing_bytes",
            "certification_data_type",
            "qe",
            "pck",
        ),
        *("tee_tcb_svn", "tee_tcb_svn2", "mrseam", "mrsignerseam", "seamattributes", "tdattributes", "xfam", "mrtd"),
        *("mrconfigid", "mrowner", "mrownerconfig", "mrservicetd", "rtmr0", "rtmr1", "rtmr2", "rtmr3"),
        *(
            "qe_svn",
            "pce_svn",
            "cpusvn",
            "miscselect",
            "attributes",
            "attr_flags",
            "mrenclave",
            "mrsigner",
            "isvprodid",
        ),
        *("isvsvn", "isvextprodid", "configid", "configsvn", "isvfamilyid"),
        *(
            "tcb_status",
            "tcb_date",
            "tcb_level_status",
            "tcb_level_index",
            "qe_tcb_status",
            "tdx_module",
            "advisory_ids",
        ),
        "current_tcb_status",
        *("request_nonce", "response_nonce", "slot", "measurement_blocks", "measurements", "opaque_fields"),
        *("driver_version", "vbios_version", "leaf_fwid_extension_present"),
        *("platform", "platform_alg", "sw_components", "realm", "realm_alg"),
    }
)

# What the one stated reason of an invalid case is called here; a reason not listed is held to the general rule only.
REASONS = {
    "untrusted root": {"sev-snp.chain.root"},
    "report signature does not verify": {"sev-snp.report.signature"},
    "report_data does not match": {"binding.user-data"},
    "measurement does not match": {"sev-snp.measurement"},
    "debug on: guest policy bit 19 (DEBUG) is set": {"sev-snp.policy.debug"},
    "certificate chain: VCEK/VLEK signed by ASK/ASVK does not verify": {"sev-snp.chain.signature"},
    "VCEK/VLEK certificate not within its validity period at verify_at": {"sev-snp.chain.validity"},
    "endorsement missing: no VCEK/VLEK certificate for this report": {"sev-snp.endorsement.vcek"},
    "malformed: report shorter than 0x4A0 bytes": {"sev-snp.decode.report"},
    "quote signature does not verify": {"tpm2.quote.signature"},
    "COSE_Sign1 signature does not verify": {"aws-nitro.document.signature", "aws-nitrotpm.document.signature"},
    "debug on: PCR0 is all zero": {"aws-nitro.pcrs.debug"},
    "a chain certificate is not within its validity period at verify_at": {
        "aws-nitro.chain.validity",
        "aws-nitrotpm.chain.validity",
    },
    "cabundle[0] is not the AWS Nitro root": {"aws-nitro.chain.root", "aws-nitrotpm.chain.root"},
    "malformed: bytes after the COSE_Sign1 structure": {
        "aws-nitro.decode.attestation",
        "aws-nitrotpm.decode.attestation",
    },
    "nonce does not match": {"binding.user-data"},
    "extraData is not the expected nonce": {"binding.user-data"},
    "event log replay of sha256 PCR4 does not match the quote": {"gcp-vtpm.eventlog.replay"},
    "TPM quote signature does not verify with HCLAkPub": {"azure-snp-vtpm.quote.signature"},
    "PCR values do not hash to pcrDigest": {"azure-snp-vtpm.pcrs.digest", "gcp-vtpm.pcrs.digest"},
    "report_data is not the hash of the runtime claims (zero padded)": {"azure-snp-vtpm.runtime-claims.digest"},
    "untrusted root: the chain ends in a root whose key is not the production Intel SGX Root CA key": {
        "tdx.chain.root"
    },
    "tcbInfo expired: nextUpdate is before verify_at": {"tdx.tcb-info.expired"},
    "TDX: tcbInfo expired: nextUpdate is before verify_at": {"tdx.tcb-info.expired"},
    "tcbInfo signature does not verify": {"tdx.tcb-info.signature"},
    "FMSPC/PCE-ID of the PCK certificate is not the one of the TCB info": {"tdx.tcb-info.fmspc"},
    "CRL missing": {"tdx.endorsement.pck_crl"},
    "PCK CRL issuer is not the issuer of the PCK certificate": {"tdx.endorsement.pck_crl"},
    "debug on: TDATTRIBUTES.DEBUG (bit 0) is set; TCB status UpToDate": {"tdx.debug"},
    "debug on: SGX ATTRIBUTES.DEBUG (bit 1) is set; TCB status ConfigurationAndSWHardeningNeeded": {"sgx.debug"},
    "quote signature does not verify with the attestation key": {"tdx.quote.signature", "sgx.quote.signature"},
    "PCK certificate chain does not verify: leaf not signed by the next certificate, which is not signed by the root": {
        "sgx.chain.signature"
    },
    "no PCK certificate chain in the quote (certification data type 3)": {"sgx.endorsement.pck_chain"},
    "TDX: TCB status OutOfDate not accepted by the policy": {"tdx.tcb.status"},
    **{
        f"TCB status {status} not accepted by the policy": {"tdx.tcb.status", "sgx.tcb.status"}
        for status in (
            *("OutOfDate", "NotSupported", "TDRelaunchAdvised", "SWHardeningNeeded"),
            "ConfigurationAndSWHardeningNeeded",
        )
    },
    "SPDM measurement signature does not verify": {"nvidia-gpu.report.signature"},
    "realm token signature does not verify with the RAK it carries": {"arm-cca.realm.signature"},
    "replay of sha256 register 4 gives another value": {"tcg-eventlog.replay"},
    "replay of sha384 register 1 gives another value": {"ccel.replay"},
    "malformed event log: error": {"tcg-eventlog.decode.eventlog", "ccel.decode.eventlog"},
    "template hash of entry 2 does not match its template data": {"ima.template"},
    "event data does not hash to its digest: event 2 (EV_EFI_VARIABLE_DRIVER_CONFIG, register 7, sha1)": {
        "tcg-eventlog.data"
    },
}


def _folders() -> list[Any]:
    root = evidence_root()
    if root is None:
        return []
    found = sorted(p.parent for p in root.glob("*/*/case.json") if p.parent.parent.name in CASES)
    return [pytest.param(p, id=f"{p.parent.name}/{p.name}") for p in found]


def _judge(folder: Path) -> tuple[dict[str, Any], OfflineVerdict]:
    stated = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    files = read_case(folder, CASES)
    return stated, judge_case(CASES[files.platform], files)


def test_published_evidence_is_there(evidence_cases: Path) -> None:
    platforms = {p.parent.parent.name for p in evidence_cases.glob("*/*/case.json")}
    lacking = sorted(CASES.keys() - platforms)
    if lacking:
        missing(f"{evidence_cases}: no cases of {', '.join(lacking)}")


@pytest.mark.parametrize("folder", _folders())
def test_a_case_gets_its_verdict(folder: Path) -> None:
    stated, verdict = _judge(folder)
    assert verdict.verdict == stated["expect"], f"{verdict.check_id}: {verdict.detail}; stated: {stated['reason']}"
    if verdict.verdict == "invalid":
        assert verdict.check_id
        assert verdict.check_id in REASONS.get(stated["reason"], {verdict.check_id})


@pytest.mark.parametrize("folder", _folders())
def test_a_cases_claims_are_equal(folder: Path) -> None:
    stated, verdict = _judge(folder)
    claims = json.loads(json.dumps(dict(verdict.claims)))
    want = stated.get("claims", {})
    assert {k: claims.get(k) for k in PROMISED & want.keys()} == {k: want[k] for k in PROMISED & want.keys()}
    both = claims.keys() & want.keys()
    assert {k: claims[k] for k in both} == {k: want[k] for k in both}
