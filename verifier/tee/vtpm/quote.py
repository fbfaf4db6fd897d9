"""The vTPM's part of a composite: quote, signature, PCR values, event log. Reading proves nothing.

Parts: ``quote`` (TPMS_ATTEST), ``quote_sig`` (TPMT_SIGNATURE, or bare RSA bytes, or X9.62 DER ECDSA, as clouds' own tools hand
them out), ``pcrs`` (JSON ``{bank: {index: hex}}``, untrusted until hashed), optionally ``eventlog``, which is read
only when a check asks for it (``tcg.late``).
Source: TCG TPM 2.0 Library Part 2, revision 1.59.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from verifier.formats.errors import MalformedEvidence
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.claims import log_claims
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.late import LateLog, WithLog
from verifier.tee.tcg.layout import SHA256
from verifier.tee.tpm2.layout import (
    MAGIC_ID,
    TYPE_ID,
    Quote,
    Signature,
    decode_any_signature,
    decode_quote,
    encode_quote,
)
from verifier.tee.tpm2.quote import quote_claims

QUOTE: Final = "quote"
QUOTE_SIG: Final = "quote_sig"
PCRS: Final = "pcrs"
EVENTLOG: Final = "eventlog"
REQUIRED_PARTS: Final = frozenset((QUOTE, QUOTE_SIG, PCRS))
OPTIONAL_PARTS: Final = frozenset((EVENTLOG,))

# Every field of these parts, for the bins of the composite's ``rules``.
FIELDS: Final = tuple(
    f"tpm.{name}"
    for name in (
        "magic", "type", "qualified_signer", "extra_data", "clock", "reset_count", "restart_count", "safe",
        "firmware_version", "pcr_select", "pcr_digest", "signature", "pcrs", "eventlog",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class VtpmQuote(WithLog):
    """Everything that was read, unverified. ``replayed``: what the log gives for the SHA-256 bank, empty without one."""

    raw: Mapping[str, bytes]
    quote: Quote
    signature: Signature
    banks: Banks
    late_log: LateLog | None


def read_quote(data: bytes, scheme: str) -> Quote:
    """Read TPMS_ATTEST under the composite's own ids: ``<scheme>.decode.quote``, ``.quote.magic``, ``.quote.type``."""
    try:
        return decode_quote(data, check_id=f"{scheme}.decode.quote")
    except MalformedEvidence as error:
        own = {MAGIC_ID: f"{scheme}.quote.magic", TYPE_ID: f"{scheme}.quote.type"}.get(error.check_id)
        if own is None:
            raise
        raise MalformedEvidence(own, error.detail) from None


def decode_parts(unverified_parts: Mapping[str, bytes], scheme: str) -> VtpmQuote:
    """Read the vTPM's parts; ``MalformedEvidence`` under ``<scheme>.decode.<part>``."""
    quote = read_quote(unverified_parts[QUOTE], scheme)
    raw_log = unverified_parts.get(EVENTLOG)
    return VtpmQuote(
        raw=MappingProxyType({n: d for n, d in unverified_parts.items() if n in REQUIRED_PARTS | OPTIONAL_PARTS}),
        quote=quote,
        signature=decode_any_signature(
            unverified_parts[QUOTE_SIG], digest_size=len(quote.pcr_digest), check_id=f"{scheme}.decode.quote_sig"
        ),
        banks=decode_banks(unverified_parts[PCRS], f"{scheme}.decode.pcrs", PCRS),
        late_log=None if raw_log is None else LateLog(raw_log, f"{scheme}.decode.eventlog", SHA256),
    )


def encode_parts(tpm: VtpmQuote) -> dict[str, bytes]:
    """Write the parts back: the quote anew; signature (three forms), JSON and log as they were kept."""
    parts = {QUOTE: encode_quote(tpm.quote), QUOTE_SIG: tpm.raw[QUOTE_SIG], PCRS: tpm.raw[PCRS]}
    return parts if tpm.late_log is None else {**parts, EVENTLOG: tpm.late_log.raw}


def vtpm_claims(tpm: VtpmQuote) -> dict[str, Any]:
    """Say what the vTPM's parts hold; of the log what its replay proves."""
    claims = quote_claims(tpm.quote)
    claims["pcrs"] = {bank: {str(i): v.hex() for i, v in values.items()} for bank, values in tpm.banks.items()}
    if tpm.log is None:
        return claims
    proven = proven_secure_boot(tpm.log, SHA256) if tpm.replayed else None
    return {**claims, "log": {**log_claims(tpm.log), "secure_boot": proven}}
