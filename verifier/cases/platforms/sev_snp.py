"""Published cases of SEV-SNP, judged offline (docs/cases.md). Nothing judged here can mint.

A case without ``crl.pem`` is judged without revocation unless it says ``crl_required: true``; with it the list is used.
``ark.pem`` comes with the evidence and is never an anchor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import hex_value, require_known, required, switch, verdict_of, verified_by
from verifier.cases.words import words_of
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.decode import Report, Vek, decode, evidence_claims, tcb_parts
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.sev_snp.verify import CRL, collate, needs

_BITS: Final[Mapping[str, Mapping[str, int]]] = MappingProxyType(
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

# The names of docs/cases.md, with whatever suffix the source had: DER and PEM are told apart by what is in the file.
_FILES: Final = re.compile(r"(vcek|vlek|ask|asvk|ark|crl)\.(?:der|pem|crt|cer|crl|bin)", re.ASCII)
_NAMES: Final[Mapping[str, str]] = {"asvk": "ask"}
# Policy key -> (rule, where the key stands for an expected value of that rule).
_RULES: Final[Mapping[str, str]] = {
    "allow_debug": "sev-snp.policy.debug",
    "measurement": "sev-snp.measurement",
    "min_committed_version": "sev-snp.firmware-version",
}
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}(?:\.\d{1,3})?", re.ASCII)


def _report(files: CaseFiles) -> Report:
    return decode({"report": required(files.evidence.get("report.bin"), "report.bin", layout.DECODE_ID)})


def _given(files: CaseFiles) -> dict[str, bytes]:
    given: dict[str, bytes] = {}
    for name, data in {**files.evidence, **files.collateral}.items():
        if found := _FILES.fullmatch(name.lower()):
            given[_NAMES.get(found[1], found[1])] = _alone(found[1], data)
    return given


def _alone(kind: str, data: bytes) -> bytes:
    """Return the one certificate that a file is named after, where its source kept a chain in it (AMD's ``cert_chain``)."""
    try:
        blocks = pem_blocks(data, "CERTIFICATE")
    except ValueError:
        return data  # ``collate`` says what is wrong with it
    if len(blocks) <= 1:
        return data
    return blocks[-1] if kind == "ark" else blocks[0]


def _expected(files: CaseFiles) -> dict[str, Any]:
    """Read the case's policy: rule id -> expected value."""
    require_known(files.policy, CASE.policy_keys)
    wanted: dict[str, Any] = {_RULES["allow_debug"]: switch(files.policy, "allow_debug")}
    measurement = hex_value(files.policy, "measurement", 48)
    if measurement is not None:
        wanted[_RULES["measurement"]] = measurement.hex()
    version = files.policy.get("min_committed_version")
    if version is not None:
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise CaseError(f"policy.min_committed_version: got {version!r}, want major.minor or major.minor.build")
        wanted[_RULES["min_committed_version"]] = version if version.count(".") > 1 else f"{version}.0"
    return wanted


def _vek_claims(vek: Vek) -> dict[str, Any]:
    claims: dict[str, Any] = {"structVersion": vek.struct_version, "productName": vek.product_name}
    claims |= tcb_parts(vek.tcb, vek.product)
    if vek.hwid is not None:
        # As it stands in the certificate, with the tag that some issuers write around it.
        claims["hwid"] = vek.certificate.extensions[layout.OID_HWID].value.hex()
    if vek.csp_id is not None:
        claims["cspid"] = vek.csp_id
    return claims


def _claims(files: CaseFiles) -> dict[str, Any]:
    report = _report(files)
    claims = evidence_claims(report)
    try:
        vek = collate(report, _given(files)).vek
    except MalformedEvidence:
        return claims  # the verdict says what is wrong with it
    if vek is not None:
        claims["vek"] = _vek_claims(vek)
        claims.setdefault("product", vek.product)
    return claims


def _judge(files: CaseFiles) -> CaseVerdict:
    wanted = _expected(files)
    report_data = hex_value(files.policy, "report_data", 64)
    report = _report(files)
    given = _given(files)
    for need in needs(report, given):
        if need.name in ("vcek", "vlek", "ask"):
            raise CannotDecide(f"sev-snp.endorsement.{need.name}", f"{need.name}: got nothing, want it in the case")
    if files.crl_required and "crl" not in given:
        raise CannotDecide(CRL, "crl.pem: got nothing, want it: the case says crl_required")
    collateral = replace(collate(report, given), crl_required="crl" in given)
    return verdict_of(verified_by(SCHEME, files, report, collateral, report_data), wanted)


CASE: Final = CaseForm(
    platform="sev-snp",
    policy_keys=frozenset({*_RULES, "report_data"}),
    claims=_claims,
    judge=_judge,
    words=words_of("sev_snp"),
    bits=_BITS,
)
