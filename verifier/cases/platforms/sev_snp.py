"""Published cases of SEV-SNP, judged offline (``evidence/README.md``). Nothing judged here can mint.

A case without ``crl.pem`` is judged without revocation unless it says ``crl_required: true``; with it the list is used.
``ark.pem`` comes with the evidence and is never an anchor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.words.sev_snp import BITS, CASE_REMEDIES, WORDS
from verifier.core.rules import Finding
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509 import pem_blocks
from verifier.formats.x509chain import ChainCache
from verifier.tee.scheme import Subject, UnsafeUnbound, Verified, run_checks
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.decode import Report, Vek, decode, evidence_claims, tcb_parts
from verifier.tee.sev_snp.rules import RULES
from verifier.tee.sev_snp.scheme import SCHEME
from verifier.tee.sev_snp.verify import IDS, SnpCollateral, collate, needs

# The README's names, with whatever suffix the source had: DER and PEM are told apart by what is in the file.
_FILES: Final = re.compile(r"(vcek|vlek|ask|asvk|ark|crl)\.(?:der|pem|crt|cer|crl|bin)", re.ASCII)
_NAMES: Final[Mapping[str, str]] = {"asvk": "ask"}
# Policy key -> (rule, where the key stands for an expected value of that rule).
_RULES: Final[Mapping[str, str]] = {
    "allow_debug": "sev-snp.policy.debug",
    "measurement": "sev-snp.measurement",
    "min_committed_version": "sev-snp.firmware-version",
}
_BY_ID: Final = {rule.id: rule for rule in RULES}
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}(?:\.\d{1,3})?", re.ASCII)


def _report(files: CaseFiles) -> Report:
    data = files.evidence.get("report.bin")
    if data is None:
        raise IncompleteCase(layout.DECODE_ID, "evidence: got no report.bin, want it")
    return decode({"report": data})


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


def _hex(files: CaseFiles, key: str, size: int) -> str | None:
    value = files.policy.get(key)
    if value is None:
        return None
    text = value.lower() if isinstance(value, str) else ""
    if not re.fullmatch(f"[0-9a-f]{{{2 * size}}}", text, re.ASCII):
        raise CaseError(f"policy.{key}: got {value!r}, want {2 * size} hex digits")
    return text


def _expected(files: CaseFiles) -> dict[str, Any]:
    """Read the case's policy: rule id -> expected value."""
    unknown = sorted(files.policy.keys() - CASE.policy_keys)
    if unknown:
        raise CaseError(f"policy: got unknown key {unknown[0]!r}, want {sorted(CASE.policy_keys)}")
    allow_debug = files.policy.get("allow_debug", False)
    if not isinstance(allow_debug, bool):
        raise CaseError(f"policy.allow_debug: got {allow_debug!r}, want true or false")
    wanted: dict[str, Any] = {_RULES["allow_debug"]: allow_debug}
    measurement = _hex(files, "measurement", 48)
    if measurement is not None:
        wanted[_RULES["measurement"]] = measurement
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


def _findings(verified: Verified[Report, SnpCollateral], wanted: Mapping[str, Any]) -> tuple[Finding, ...]:
    findings = []
    for rule_id, expected in wanted.items():
        rule = _BY_ID[rule_id]
        judgement = rule.judge(verified, expected)
        findings.append(
            Finding(
                rule=rule.id,
                scope=rule.scope,
                field=rule.field,
                ok=judgement.ok,
                expected=expected,
                seen=judgement.seen,
                identity="case",
                detail=judgement.detail,
                remedy=rule.remedy,
                trust_claim=rule.trust_claim,
                value=rule.holds_as if judgement.ok else rule.fails_as,
            )
        )
    return tuple(findings)


def _judge(files: CaseFiles) -> CaseVerdict:
    wanted = _expected(files)
    report_data = _hex(files, "report_data", 64)
    report = _report(files)
    given = _given(files)
    for need in needs(report, given):
        if need.name in ("vcek", "vlek", "ask"):
            raise CannotDecide(f"sev-snp.endorsement.{need.name}", f"{need.name}: got nothing, want it in the case")
    if files.crl_required and "crl" not in given:
        raise CannotDecide(IDS.crl, "crl.pem: got nothing, want it: the case says crl_required")
    collateral = replace(collate(report, given), crl_required="crl" in given)
    subject = Subject(report, collateral, SCHEME.anchors, files.now, ChainCache())
    user_data = None if report_data is None else bytes.fromhex(report_data)
    verified = run_checks(SCHEME, subject, UnsafeUnbound(user_data))
    return CaseVerdict(findings=_findings(verified, wanted), root=verified.root, verified=verified)


CASE: Final = CaseForm(
    platform="sev-snp",
    policy_keys=frozenset({*_RULES, "report_data"}),
    claims=_claims,
    judge=_judge,
    words=WORDS,
    bits=BITS,
    remedies=CASE_REMEDIES,
)
