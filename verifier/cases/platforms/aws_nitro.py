"""Published cases of Nitro enclaves, judged offline (``evidence/README.md``). Nothing judged here can mint.

``aws_nitro_root_g1.pem`` beside a case is not read: the root is pinned here.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Final

from verifier.cases.form import CaseError, CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.words.aws_nitro import REMEDIES, WORDS
from verifier.core.binding import require_bound
from verifier.core.rules import Finding
from verifier.formats import cbor
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import DECODE_ID, Document, decode
from verifier.tee.aws_nitro.rules import RULES
from verifier.tee.aws_nitro.scheme import SCHEME, evidence_claims
from verifier.tee.aws_nitro.verify import Collateral
from verifier.tee.scheme import Subject, UnsafeUnbound, run_checks

FILE: Final = "attestation.cbor"
_DEBUG: Final = next(rule for rule in RULES if rule.field == "allow_debug")


def unverified_attestation(files: CaseFiles, check_id: str = DECODE_ID) -> bytes:
    """Return the document's bytes; ``IncompleteCase(check_id)`` where there are none."""
    data = files.evidence.get(FILE)
    if data is None:
        raise IncompleteCase(check_id, f"evidence: got no {FILE}, want it")
    return data


def policy_debug(files: CaseFiles) -> bool:
    """Return ``allow_debug``."""
    return policy_switch(files, "allow_debug")


def policy_switch(files: CaseFiles, name: str) -> bool:
    """Return a policy key of true or false; false where it is not there."""
    value = files.policy.get(name, False)
    if not isinstance(value, bool):
        raise CaseError(f"policy.{name}: got {value!r}, want true or false")
    return value


def policy_nonce(files: CaseFiles) -> bytes | None:
    """Return the nonce that the case asks for; ``None`` where it asks for none."""
    value = files.policy.get("nonce")
    if value is None:
        return None
    try:
        return binascii.unhexlify(value)
    except (ValueError, TypeError):
        raise CaseError(f"policy.nonce: got {value!r}, want hex") from None


def _document(files: CaseFiles) -> Document:
    return decode({layout.PART: unverified_attestation(files)})


def _fallback(files: CaseFiles) -> Mapping[str, Any]:
    """Show what a document says that something follows; the verdict on it stands."""
    try:
        return evidence_claims(decode({layout.PART: cbor.first(unverified_attestation(files), DECODE_ID, FILE)}))
    except MalformedEvidence:
        return {}


def _judge(files: CaseFiles) -> CaseVerdict:
    allowed, nonce = policy_debug(files), policy_nonce(files)
    document = _document(files)
    verified = run_checks(
        SCHEME, Subject(document, Collateral(), SCHEME.anchors, files.now, ChainCache()), UnsafeUnbound()
    )
    if nonce is not None:
        require_bound(document.nonce or b"", nonce)
    judgement = _DEBUG.judge(verified, allowed)
    finding = Finding(
        rule=_DEBUG.id,
        scope=_DEBUG.scope,
        field=_DEBUG.field,
        ok=judgement.ok,
        expected=allowed,
        seen=judgement.seen,
        identity="case",
        detail=judgement.detail,
        remedy=_DEBUG.remedy,
        trust_claim=_DEBUG.trust_claim,
        value=_DEBUG.holds_as if judgement.ok else _DEBUG.fails_as,
    )
    return CaseVerdict(findings=(finding,), root=verified.root, verified=verified)


CASE: Final = CaseForm(
    platform=layout.NAME,
    policy_keys=frozenset({"allow_debug", "nonce"}),
    claims=lambda files: evidence_claims(_document(files)),
    judge=_judge,
    fallback_claims=lambda files: dict(_fallback(files)),
    words=WORDS,
    remedies=REMEDIES,
)
