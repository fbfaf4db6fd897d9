"""Published cases of NitroTPM, judged offline (docs/cases.md). Nothing judged here can mint.

The root is pinned here and never taken from the case. A document has no debug mode, so ``allow_debug`` switches nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.platforms.aws_nitro import FILE, unverified_attestation
from verifier.cases.reading import hex_value, switch, verdict_of, verified_by
from verifier.cases.words import words_of
from verifier.core.binding import require_bound
from verifier.formats import cbor
from verifier.formats.errors import Failed, MalformedEvidence
from verifier.tee.aws_nitro.decode import decode_document
from verifier.tee.aws_nitro.scheme import document_claims
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.aws_nitrotpm.decode import DECODE_ATTESTATION, Evidence, decode, evidence_claims
from verifier.tee.aws_nitrotpm.scheme import SCHEME
from verifier.tee.aws_nitrotpm.verify import Collateral, attestation_key
from verifier.tee.tcg.banks import as_written_strictly
from verifier.tee.tpm2.keys import is_signed_by

_SIGNATURES: Final = (".sig.tpmt", ".sig.der", ".sig")
_OPTIONAL: Final[Mapping[str, str]] = {"pcrs.json": layout.PCRS, "eventlog.bin": layout.EVENTLOG}


def _parts(files: CaseFiles) -> dict[str, bytes]:
    """Name the case's files as the envelope does."""
    quotes = sorted(name for name in files.evidence if name.endswith(".msg"))
    if len(quotes) != 1:
        raise IncompleteCase("aws-nitrotpm.decode.quote", f"evidence: got quotes {quotes}, want one *.msg")
    stem = quotes[0].removesuffix(".msg")
    signature = next((files.evidence[stem + s] for s in _SIGNATURES if stem + s in files.evidence), None)
    if signature is None:
        raise IncompleteCase(
            "aws-nitrotpm.decode.quote_sig",
            f"{quotes[0]}: got no signature file beside it, want {stem}.sig.tpmt, .sig.der or .sig",
        )
    parts = {
        layout.ATTESTATION: unverified_attestation(files, DECODE_ATTESTATION),
        layout.QUOTE: files.evidence[quotes[0]],
        layout.QUOTE_SIG: signature,
    }
    parts |= {part: files.evidence[name] for name, part in _OPTIONAL.items() if name in files.evidence}
    if layout.PCRS in parts:
        parts[layout.PCRS] = as_written_strictly(parts[layout.PCRS])
    return parts


def _is_signed(evidence: Evidence) -> bool:
    """Tell whether the document's key signed the quote; says nothing about the document."""
    try:
        key = attestation_key(evidence.document)
    except Failed:
        return False
    return is_signed_by(key, evidence.signature, evidence.raw[layout.QUOTE])


def _claims(files: CaseFiles) -> dict[str, Any]:
    evidence = decode(_parts(files))
    return {**evidence_claims(evidence), "tpm_signature_checked": _is_signed(evidence)}


def _fallback(files: CaseFiles) -> dict[str, Any]:
    """Show what a document says that something follows, or whose quote cannot be read; the verdict on it stands."""
    said: dict[str, Any] = {}
    with contextlib.suppress(MalformedEvidence, IncompleteCase):
        whole = cbor.first(unverified_attestation(files, DECODE_ATTESTATION), DECODE_ATTESTATION, FILE)
        document = decode_document(whole, check_id=DECODE_ATTESTATION, is_nitrotpm=True)
        said = document_claims(document, "nitrotpm_pcrs")
        evidence = decode({**_parts(files), layout.ATTESTATION: whole})
        return {**evidence_claims(evidence), "tpm_signature_checked": _is_signed(evidence)}
    return said


def _judge(files: CaseFiles) -> CaseVerdict:
    switch(files.policy, "allow_debug")
    # Event data are compared with their digests whether the case asks for it or not.
    switch(files.policy, "check_event_data")
    nonce = hex_value(files.policy, "nonce")
    evidence = decode(_parts(files))
    verified = verified_by(SCHEME, files, evidence, Collateral())
    if nonce is not None:
        require_bound(evidence.quote.extra_data, nonce)
        if evidence.document.nonce is not None:
            require_bound(evidence.document.nonce, nonce)
    return verdict_of(verified)


CASE: Final = CaseForm(
    platform=layout.NAME,
    policy_keys=frozenset({"allow_debug", "nonce", "check_event_data"}),
    claims=_claims,
    judge=_judge,
    fallback_claims=_fallback,
    words=words_of("aws_nitrotpm"),
)
