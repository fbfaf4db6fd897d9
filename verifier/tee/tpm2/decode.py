"""Decode the parts of ``tpm2`` evidence. Raises ``MalformedEvidence`` under ``tpm2.decode.<part>`` and nothing else.

Parts: ``quote`` (TPMS_ATTEST), ``quote_sig`` (TPMT_SIGNATURE), ``pcrs`` (JSON ``{bank: {index: hex}}``, untrusted until hashed),
``ak_name`` (the Name of the enrolled AK), optionally ``eventlog``. JSON and log are kept as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from verifier.core.errors import MalformedEvidence
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import SHA256, EventLog
from verifier.tee.tcg.replay import replay
from verifier.tee.tpm2.layout import (
    Quote,
    Signature,
    decode_quote,
    decode_signature,
    encode_quote,
    encode_signature,
    is_name,
)

QUOTE, QUOTE_SIG, PCRS, AK_NAME, EVENTLOG = "quote", "quote_sig", "pcrs", "ak_name", "eventlog"
REQUIRED_PARTS = frozenset((QUOTE, QUOTE_SIG, PCRS, AK_NAME))
OPTIONAL_PARTS = frozenset((EVENTLOG,))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was read, unverified. ``replayed``: what the log gives for the SHA-256 bank, empty without one."""

    raw: Mapping[str, bytes]
    ak_name: bytes
    quote: Quote
    signature: Signature
    banks: Banks
    log: EventLog | None
    replayed: Mapping[int, bytes]


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; the caller has checked that the required ones are there."""
    name = unverified_parts[AK_NAME]
    if not is_name(name):
        raise MalformedEvidence("tpm2.decode.ak_name", f"ak_name: got {len(name)} bytes, want nameAlg and a digest")
    raw_log = unverified_parts.get(EVENTLOG)
    log = None if raw_log is None else decode_log(raw_log, check_id="tpm2.decode.eventlog")
    return Evidence(
        raw=MappingProxyType(dict(unverified_parts)),
        ak_name=name,
        quote=decode_quote(unverified_parts[QUOTE]),
        signature=decode_signature(unverified_parts[QUOTE_SIG]),
        banks=decode_banks(unverified_parts[PCRS], "tpm2.decode.pcrs", PCRS),
        log=log,
        replayed=MappingProxyType(dict(replay(log, SHA256)) if log is not None and SHA256.id in log.banks else {}),
    )


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back: structures anew, JSON and log as they were kept."""
    parts = {
        QUOTE: encode_quote(evidence.quote),
        QUOTE_SIG: encode_signature(evidence.signature),
        PCRS: evidence.raw[PCRS],
        AK_NAME: evidence.ak_name,
    }
    if evidence.log is not None:
        parts[EVENTLOG] = evidence.log.raw
    return parts
