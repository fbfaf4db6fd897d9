"""Published cases of Arm CCA, judged offline (``evidence/README.md``). Nothing judged here can mint.

``cpak_pub.pem`` is the platform's key, and in a case alone it is the anchor: no vendor stands behind any public token. All of
them are signed by the published test key, so the checks for test keys do not apply here.
"""

from __future__ import annotations

from typing import Any, Final

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.words.arm_cca import REMEDIES, WORDS
from verifier.core.rules import Finding
from verifier.formats import cbor
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509 import pem_blocks
from verifier.formats.x509chain import ChainCache
from verifier.tee.arm_cca.decode import CcaToken, decode, evidence_claims
from verifier.tee.arm_cca.layout import DECODE_ID, TAG_TOKEN
from verifier.tee.arm_cca.rules import RULES
from verifier.tee.arm_cca.scheme import SCHEME
from verifier.tee.arm_cca.verify import CPAK, CcaCollateral
from verifier.tee.scheme import Subject, UnsafeUnbound, run_checks

_LIFECYCLE: Final = next(rule for rule in RULES if rule.id == "arm-cca.platform.lifecycle")


def _by_stem(files: CaseFiles, stem: str) -> bytes | None:
    named = {name.partition(".")[0]: data for name, data in {**files.evidence, **files.collateral}.items()}
    return named.get(stem)


def _token(files: CaseFiles) -> CcaToken:
    data = _by_stem(files, "cca_token")
    if data is None:
        raise IncompleteCase(DECODE_ID, "evidence: got no cca_token.cbor, want it")
    # Some tools take the outer tag off; nothing in it is signed.
    is_bare = data[:1] == bytes((cbor.head(cbor.MAP, 2)[0],))
    return decode({"cca_token": cbor.head(cbor.TAG, TAG_TOKEN) + data if is_bare else data})


def _key(files: CaseFiles) -> bytes:
    """Return the platform's key as SubjectPublicKeyInfo, from PEM or DER."""
    data = _by_stem(files, "cpak_pub")
    if data is None:
        raise CannotDecide(CPAK, "cpak_pub.pem: got nothing, want it in the case")
    if b"-----BEGIN" not in data:
        return data
    try:
        blocks = pem_blocks(data, "PUBLIC KEY")
    except ValueError as error:
        raise MalformedEvidence(CPAK, f"cpak_pub.pem: {error}") from None
    if len(blocks) != 1:
        raise MalformedEvidence(CPAK, f"cpak_pub.pem: got {len(blocks)} PEM blocks PUBLIC KEY, want 1")
    return blocks[0]


def _nonce(files: CaseFiles) -> bytes | None:
    value = files.policy.get("nonce")
    if value is None:
        return None
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise CaseError(f"policy.nonce: got {value!r}, want hex") from None


def _judge(files: CaseFiles) -> CaseVerdict:
    unknown = sorted(files.policy.keys() - CASE.policy_keys)
    if unknown:
        raise CaseError(f"policy: got unknown key {unknown[0]!r}, want {sorted(CASE.policy_keys)}")
    expected = UnsafeUnbound(_nonce(files))
    collateral = CcaCollateral(case_key=_key(files))
    subject = Subject(_token(files), collateral, (), files.now, ChainCache())
    verified = run_checks(SCHEME, subject, expected)
    judgement = _LIFECYCLE.judge(verified, _LIFECYCLE.default)
    finding = Finding(
        rule=_LIFECYCLE.id,
        scope=_LIFECYCLE.scope,
        field=_LIFECYCLE.field,
        ok=judgement.ok,
        expected=_LIFECYCLE.default,
        seen=judgement.seen,
        identity="case",
        detail=judgement.detail,
        remedy=_LIFECYCLE.remedy,
        trust_claim=_LIFECYCLE.trust_claim,
        value=_LIFECYCLE.holds_as if judgement.ok else _LIFECYCLE.fails_as,
    )
    return CaseVerdict(findings=(finding,), root=verified.root, anchor="case-given", verified=verified)


def _claims(files: CaseFiles) -> dict[str, Any]:
    return evidence_claims(_token(files))


CASE: Final = CaseForm(
    platform="arm-cca",
    policy_keys=frozenset({"nonce"}),
    claims=_claims,
    judge=_judge,
    words=WORDS,
    remedies=REMEDIES,
)
