"""Decode the parts of ``tpm2`` evidence. Raises ``MalformedEvidence`` under ``tpm2.decode.<part>`` and nothing else.

Parts: ``quote`` (TPMS_ATTEST), ``quote_sig`` (TPMT_SIGNATURE), ``pcrs`` (JSON ``{bank: {index: hex}}``, untrusted until hashed),
``ak_name`` (the Name of the enrolled AK), optionally ``eventlog`` and ``ascii_runtime_measurements`` (the IMA list). JSON, log and
list are kept as they came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from verifier.formats.errors import MalformedEvidence
from verifier.tee.ima.decode import MeasurementList, decode_list
from verifier.tee.ima.layout import PCR_IMA
from verifier.tee.ima.replay import replay_prefix
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import HASHES_BY_NAME, SHA256, EventLog
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
IMA = "ascii_runtime_measurements"
REQUIRED_PARTS = frozenset((QUOTE, QUOTE_SIG, PCRS, AK_NAME))
OPTIONAL_PARTS = frozenset((EVENTLOG, IMA))


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that was read, unverified. ``replayed``: what the log gives for the SHA-256 bank, empty without one.

    ``ima_quoted``: after how many entries of the IMA list PCR 10 holds the listed value, in the one bank that is listed; 0 where it
    never does. What follows those entries was measured after the quote, and nothing bears it out.
    """

    raw: Mapping[str, bytes]
    ak_name: bytes
    quote: Quote
    signature: Signature
    banks: Banks
    log: EventLog | None
    replayed: Mapping[int, bytes]
    ima: MeasurementList | None = None
    ima_quoted: int = 0


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; the caller has checked that the required ones are there."""
    name = unverified_parts[AK_NAME]
    if not is_name(name):
        raise MalformedEvidence("tpm2.decode.ak_name", f"ak_name: got {len(name)} bytes, want nameAlg and a digest")
    raw_log = unverified_parts.get(EVENTLOG)
    log = None if raw_log is None else decode_log(raw_log, check_id="tpm2.decode.eventlog")
    banks = decode_banks(unverified_parts[PCRS], "tpm2.decode.pcrs", PCRS)
    raw_ima = unverified_parts.get(IMA)
    ima = None if raw_ima is None else decode_list(raw_ima, check_id="tpm2.decode.ascii_runtime_measurements")
    return Evidence(
        raw=MappingProxyType(dict(unverified_parts)),
        ak_name=name,
        quote=decode_quote(unverified_parts[QUOTE]),
        signature=decode_signature(unverified_parts[QUOTE_SIG]),
        banks=banks,
        log=log,
        replayed=MappingProxyType(dict(replay(log, SHA256)) if log is not None and SHA256.id in log.banks else {}),
        ima=ima,
        ima_quoted=0 if ima is None else quoted_entries(ima, banks),
    )


def quoted_entries(ima: MeasurementList, banks: Banks) -> int:
    """Return how many entries PCR 10 bears out; 0 where it bears out none, or where its value or its bank is not the only one."""
    if len(banks) != 1:
        return 0
    ((bank, values),) = banks.items()
    algorithm = HASHES_BY_NAME[bank]
    if PCR_IMA not in values or algorithm.new is None:
        return 0
    return replay_prefix(ima.entries, algorithm, values[PCR_IMA]) or 0


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
    if evidence.ima is not None:
        parts[IMA] = evidence.ima.raw
    return parts
