"""Published cases of ``sgx`` and ``tdx``, judged offline (docs/cases.md). Nothing judged here can mint.

For the quote inside a composite's own cases: ``judge_quote`` and ``quote_claims`` do it all; ``quote_bytes``, ``given_of``,
``expected_of`` and ``subject_of`` are its steps. ``intel_sgx_root_ca.pem`` is not read: the root is pinned.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import findings_of, require_known, required, switch
from verifier.core.rules import Finding
from verifier.formats.errors import BridgeError, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509chain import ChainCache
from verifier.tee.dcap import endorse, layout
from verifier.tee.dcap.claims import evaluation_claims, evidence_claims, front_claims, pck_claims
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.evaluate import STATUSES
from verifier.tee.dcap.pck import read_chain
from verifier.tee.dcap.verify import evaluation_of
from verifier.tee.scheme import Scheme, Subject, Verified
from verifier.tee.verified import UnsafeUnbound, run_checks

POLICY_KEYS: Final = frozenset({"allow_debug", "accept_tcb_status"})
DEFAULT_STATUSES: Final = ("UpToDate", "SWHardeningNeeded")

_SUFFIX: Final = r"(?:\.(?:der|pem|crt|cer|hex|b64|base64|txt|bin))*"
# File kinds of docs/cases.md by name, in whatever encoding the source had them.
_FILES: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"tcb_?info\.json"), "tcb_info"),
    (re.compile(r"(?:td_?)?qe_?identity\.json"), "qe_identity"),
    (re.compile(rf"tcb(?:_?info)?_(?:signing|issuer)_chain{_SUFFIX}"), "tcb_info_chain"),
    (re.compile(rf"qe_?identity_(?:signing|issuer)_chain{_SUFFIX}"), "qe_identity_chain"),
    (re.compile(rf"(?:intel_sgx_)?root_ca[._]crl{_SUFFIX}"), "root_crl"),
    (re.compile(rf"pck(?:_ca)?[._]crl{_SUFFIX}"), "pck_crl"),
    (re.compile(rf"pck(?:_cert(?:ificate)?)?(?:_chain)?{_SUFFIX}"), "pck_chain"),
    (re.compile(rf"pck_crl_issuer_chain{_SUFFIX}"), "issuer_chain"),
)
_CHAINS: Final = frozenset({"tcb_info_chain", "qe_identity_chain", "pck_chain", "issuer_chain"})
# Open Enclave's header in front of a quote: version u32 = 1, type u32, size u64 of what follows.
_OPEN_ENCLAVE_SIZE: Final = 16
_OPEN_ENCLAVE_VERSION: Final = b"\x01\x00\x00\x00"


def _is_text(data: bytes) -> bool:
    return data.isascii() and not any(byte < 9 or 13 < byte < 32 for byte in data[:64])  # noqa: PLR2004 - control characters


def quote_bytes(data: bytes) -> bytes:
    """Return the quote in a file as its source had it: bare, behind Open Enclave's header, or as hex or base64 text."""
    if data and _is_text(data):
        data = _from_text(data)
    if data[:4] == _OPEN_ENCLAVE_VERSION and len(data) >= _OPEN_ENCLAVE_SIZE:
        size = int.from_bytes(data[8:_OPEN_ENCLAVE_SIZE], "little")
        # Zeros may follow, as they may follow a bare quote; what else does, ``decode`` refuses.
        if 0 < size <= len(data) - _OPEN_ENCLAVE_SIZE:
            return data[_OPEN_ENCLAVE_SIZE:]
    return data


def _from_text(data: bytes) -> bytes:
    text = b"".join(data.split()).removeprefix(b"0x")
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        pass
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return data  # no quote in any form: ``decode`` says so


def given_of(files: CaseFiles) -> dict[str, bytes]:
    """Return what a case brings beside its quote, by need name, found by the names of docs/cases.md."""
    found: dict[str, bytes] = {}
    for name, data in {**files.evidence, **files.collateral}.items():
        kind = next((kind for pattern, kind in _FILES if pattern.fullmatch(name.lower())), None)
        if kind is None:
            continue
        found[kind] = _pem_of(data) if kind in _CHAINS else data
    issuers = found.pop("issuer_chain", None)
    if issuers is not None:
        # What stands above a PCK leaf that comes alone; where the quote has a whole chain it is not read.
        found["pck_chain"] = found.get("pck_chain", b"") + b"\n" + issuers
    return found


def _pem_of(data: bytes) -> bytes:
    """Return certificates as PEM and nothing besides: from PEM with text around it, the HTTP header's form, or one DER."""
    if b"-----BEGIN%20" in data:
        data = unquote_to_bytes(data)
    try:
        blocks = (data,) if data[:1] == b"\x30" else pem_blocks(data, "CERTIFICATE")
    except ValueError:
        return data  # ``collate`` says what is wrong with it
    written = (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n" for der in blocks
    )
    return b"".join(written) or data


def expected_of(scheme: str, policy: Mapping[str, Any]) -> dict[str, Any]:
    """Read a case's policy: rule id -> expected value, with the defaults of its page. ``CaseError`` for another key or value."""
    require_known(policy, POLICY_KEYS)
    allow_debug = switch(policy, "allow_debug")
    statuses = policy.get("accept_tcb_status", list(DEFAULT_STATUSES))
    if not isinstance(statuses, list) or not all(status in STATUSES for status in statuses):
        raise CaseError(f"policy.accept_tcb_status: got {statuses!r}, want a list of {', '.join(STATUSES)}")
    return {f"{scheme}.debug": allow_debug, f"{scheme}.tcb.status": statuses}


def subject_of(
    scheme: Scheme[Any, DcapCollateral], evidence: Any, files: CaseFiles, *, given: Mapping[str, bytes] | None = None
) -> Subject[Any, DcapCollateral]:
    """Put together what the scheme's checks are given: pinned anchors, the case's collateral and time.

    A missing document is no error here: the check that needs it is ``CannotDecide``, after all before it.
    """
    named = dict(given_of(files) if given is None else given)
    if evidence.quote.certification_type not in (layout.CERT_PCK_LEAF, layout.CERT_PCK_CHAIN):
        _drop_without_leaf(named)
    collateral = endorse.collate(scheme.name, evidence.quote, named)
    # Only a case that says so goes without CRLs; one that is there is used all the same.
    collateral = replace(collateral, crls_required=files.crl_required is not False)
    return Subject(evidence, collateral, scheme.verification.anchors, files.now, ChainCache())


def _drop_without_leaf(named: dict[str, bytes]) -> None:
    """Leave out a chain that has no PCK certificate: none is missing another way than broken."""
    if layout.OID_SGX in _extension_ids(named.get("pck_chain", b"")):
        return
    named.pop("pck_chain", None)


def _extension_ids(chain: bytes) -> frozenset[str]:
    try:
        certificates = read_chain(chain, "case", "pck_chain") if chain else ()
    except MalformedEvidence:
        return frozenset({layout.OID_SGX})  # let ``collate`` say what is wrong with it
    return frozenset(oid for certificate in certificates for oid in certificate.extensions)


def quote_claims(scheme: Scheme[Any, DcapCollateral], quote: bytes, files: CaseFiles) -> dict[str, Any]:
    """Say what a quote says; what its TCB evaluates to only where everything verifies. ``MalformedEvidence`` alone."""
    evidence = scheme.form.decode({"quote": quote_bytes(quote)})
    claims = evidence_claims(evidence.quote)
    try:
        subject = subject_of(scheme, evidence, files)
        if subject.collateral.pck is not None:
            claims.setdefault("pck", pck_claims(subject.collateral.pck))
        run_checks(scheme, subject, UnsafeUnbound())
    except BridgeError:
        return claims  # the verdict says what is wrong
    return {**claims, **evaluation_claims(evaluation_of(evidence.quote, subject.collateral))}


def judge_quote(
    scheme: Scheme[Any, DcapCollateral], quote: bytes, files: CaseFiles, policy: Mapping[str, Any]
) -> tuple[Verified[Any, DcapCollateral], tuple[Finding, ...]]:
    """Verify a quote with the case's collateral at its time, and judge it by ``policy``; raises one of the three kinds of no."""
    expected = expected_of(scheme.name, policy)
    evidence = scheme.form.decode({"quote": quote_bytes(quote)})
    verified = run_checks(scheme, subject_of(scheme, evidence, files), UnsafeUnbound())
    return verified, findings_of(scheme, verified, expected)


def _quote(scheme: str, files: CaseFiles) -> bytes:
    named = {name.partition(".")[0]: data for name, data in files.evidence.items()}
    return required(files.evidence.get("quote.bin", named.get("quote")), "quote.bin", f"{scheme}.decode.quote")


def form_of(scheme: Scheme[Any, DcapCollateral], words: Mapping[str, str]) -> CaseForm:
    """Make the case form of ``sgx`` or ``tdx``."""

    def judge(files: CaseFiles) -> CaseVerdict:
        verified, findings = judge_quote(scheme, _quote(scheme.name, files), files, files.policy)
        return CaseVerdict(findings=findings, root=verified.root, verified=verified)

    return CaseForm(
        platform=scheme.name,
        policy_keys=POLICY_KEYS,
        claims=lambda files: quote_claims(scheme, _quote(scheme.name, files), files),
        judge=judge,
        fallback_claims=lambda files: front_claims(quote_bytes(_quote(scheme.name, files))),
        words=words,
    )
