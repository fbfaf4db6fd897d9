"""Published cases of Nitro enclaves, judged offline (docs/cases.md). Nothing judged here can mint.

``aws_nitro_root_g1.pem`` beside a case is not read: the root is pinned here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict
from verifier.cases.reading import hex_value, required, switch, verdict_of, verified_by
from verifier.cases.words import words_of
from verifier.core.binding import require_bound
from verifier.formats import cbor
from verifier.formats.errors import MalformedEvidence
from verifier.tee.aws_nitro import layout
from verifier.tee.aws_nitro.decode import DECODE_ID, Document, decode
from verifier.tee.aws_nitro.scheme import SCHEME, evidence_claims
from verifier.tee.aws_nitro.verify import Collateral

FILE: Final = "attestation.cbor"


def unverified_attestation(files: CaseFiles, check_id: str = DECODE_ID) -> bytes:
    """Return the document's bytes; ``IncompleteCase(check_id)`` where there are none."""
    return required(files.evidence.get(FILE), FILE, check_id)


def _document(files: CaseFiles) -> Document:
    return decode({layout.PART: unverified_attestation(files)})


def _fallback(files: CaseFiles) -> Mapping[str, Any]:
    """Show what a document says that something follows; the verdict on it stands."""
    try:
        return evidence_claims(decode({layout.PART: cbor.first(unverified_attestation(files), DECODE_ID, FILE)}))
    except MalformedEvidence:
        return {}


def _judge(files: CaseFiles) -> CaseVerdict:
    allowed, nonce = switch(files.policy, "allow_debug"), hex_value(files.policy, "nonce")
    document = _document(files)
    verified = verified_by(SCHEME, files, document, Collateral())
    if nonce is not None:
        require_bound(document.nonce or b"", nonce)
    return verdict_of(verified, {"aws-nitro.pcrs.debug": allowed})


CASE: Final = CaseForm(
    platform=layout.NAME,
    policy_keys=frozenset({"allow_debug", "nonce"}),
    claims=lambda files: evidence_claims(_document(files)),
    judge=_judge,
    fallback_claims=lambda files: dict(_fallback(files)),
    words=words_of("aws_nitro"),
)
