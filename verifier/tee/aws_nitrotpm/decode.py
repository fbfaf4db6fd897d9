"""Bytes to records: document, quote, signature, PCR values, event log. Proves nothing.

``quote_sig`` is a TPMT_SIGNATURE, bare RSA bytes or X9.62 DER ECDSA, as tools hand them out; ``pcrs`` (JSON ``{bank: {index: hex}}``)
only repeats what the document says and may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from verifier.tee.aws_nitro.decode import Document, decode_document
from verifier.tee.aws_nitro.scheme import document_claims
from verifier.tee.aws_nitrotpm import layout
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.late import LateLog, WithLog
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tpm2.layout import Quote, Signature, decode_any_signature, encode_quote
from verifier.tee.tpm2.quote import quote_claims
from verifier.tee.vtpm.quote import read_quote

DECODE_ATTESTATION: Final = "aws-nitrotpm.decode.attestation"


@dataclass(frozen=True, slots=True)
class Evidence(WithLog):
    """Everything that was read, unverified. ``replayed``: what the log gives for the SHA-384 bank, empty without one."""

    raw: Mapping[str, bytes]
    document: Document
    quote: Quote
    signature: Signature
    banks: Banks | None
    late_log: LateLog | None

    @property
    def selected(self) -> tuple[int, ...]:
        """The PCRs of the SHA-384 bank that the quote selects."""
        return tuple(pcr for s in self.quote.selections if s.algorithm == SHA384.id for pcr in s.pcrs)

    @property
    def quoted(self) -> Mapping[int, bytes]:
        """The document's values of the PCRs that the quote selects: what rules judge."""
        return {pcr: self.document.pcrs[pcr] for pcr in self.selected}


def decode(parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; ``MalformedEvidence`` under ``aws-nitrotpm.decode.<part>``, or of the quote's magic and type."""
    document = decode_document(parts[layout.ATTESTATION], check_id=DECODE_ATTESTATION, is_nitrotpm=True)
    quote = read_quote(parts[layout.QUOTE], layout.NAME)
    raw_banks, raw_log = parts.get(layout.PCRS), parts.get(layout.EVENTLOG)
    return Evidence(
        raw=MappingProxyType(dict(parts)),
        document=document,
        quote=quote,
        signature=decode_any_signature(
            parts[layout.QUOTE_SIG], digest_size=len(quote.pcr_digest), check_id="aws-nitrotpm.decode.quote_sig"
        ),
        banks=None if raw_banks is None else decode_banks(raw_banks, "aws-nitrotpm.decode.pcrs", layout.PCRS),
        late_log=None if raw_log is None else LateLog(raw_log, "aws-nitrotpm.decode.eventlog", SHA384),
    )


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back: the quote anew, all else as it was kept."""
    return {**evidence.raw, layout.QUOTE: encode_quote(evidence.quote)}


def evidence_claims(evidence: Evidence) -> dict[str, Any]:
    """Say what document and quote hold, under the names of published cases; of the log what its replay proves."""
    tpm = {
        name: value for name, value in quote_claims(evidence.quote).items() if name not in ("safe", "qualified_signer")
    }
    claims = {**document_claims(evidence.document, "nitrotpm_pcrs"), "tpm": tpm}
    if evidence.log is None:
        return claims
    proven = proven_secure_boot(evidence.log, SHA384) if evidence.replayed else None
    return {**claims, "log": {**log_claims(evidence.log), "secure_boot": proven}}
