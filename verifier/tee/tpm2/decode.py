"""Decode the parts of ``tpm2`` evidence. Raises ``MalformedEvidence`` under ``tpm2.decode.<part>`` and nothing else.

Parts: ``quote`` (TPMS_ATTEST), ``quote_sig`` (TPMT_SIGNATURE), ``pcrs`` (JSON ``{bank: {index: hex}}``, untrusted until hashed),
``ak_name`` (the Name of the enrolled AK), optionally ``eventlog`` and ``ascii_runtime_measurements`` (the IMA list). JSON, log and
list are kept as they came, and log and list are read only when a check asks for them (``tcg.late``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from verifier.formats.errors import MalformedEvidence
from verifier.tee.ima.decode import MeasurementList, decode_list, require_size
from verifier.tee.ima.layout import PCR_IMA
from verifier.tee.ima.replay import replay_prefix
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.late import LateLog, WithLog
from verifier.tee.tcg.layout import HASHES_BY_NAME, SHA256
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


_IMA_ID = "tpm2.decode.ascii_runtime_measurements"


class LateList:
    """The IMA list's bytes, unverified, and what they say once a check asks. Remembers; a request belongs to one thread."""

    __slots__ = ("_list", "_quoted", "raw")

    def __init__(self, raw: bytes) -> None:
        """Keep the bytes; more than a list may have are malformed at once."""
        require_size(raw, _IMA_ID)
        self.raw = raw
        self._list: MeasurementList | None = None
        self._quoted: int | None = None

    def read(self) -> MeasurementList:
        """Return the list; ``MalformedEvidence`` where it cannot be read."""
        if self._list is None:
            self._list = decode_list(self.raw, check_id=_IMA_ID)
        return self._list

    def quoted(self, banks: Banks) -> int:
        """Return how many entries these PCRs bear out. They are always the evidence's own."""
        if self._quoted is None:
            self._quoted = quoted_entries(self.read(), banks)
        return self._quoted


@dataclass(frozen=True, slots=True)
class Evidence(WithLog):
    """Everything that was read, unverified. ``replayed``: what the log gives for the SHA-256 bank, empty without one.

    ``ima_quoted``: after how many entries of the IMA list PCR 10 holds the listed value, in the one bank that is listed; 0 where it
    never does. What follows those entries was measured after the quote, and nothing bears it out. ``log``, ``replayed``, ``ima`` and
    ``ima_quoted`` read when they are asked for, and may then be ``MalformedEvidence``.
    """

    raw: Mapping[str, bytes]
    ak_name: bytes
    quote: Quote
    signature: Signature
    banks: Banks
    late_log: LateLog | None = None
    late_ima: LateList | None = None

    @property
    def ima(self) -> MeasurementList | None:
        """The IMA list, where one came."""
        return None if self.late_ima is None else self.late_ima.read()

    @property
    def ima_quoted(self) -> int:
        """How many of the list's entries the quote bears out."""
        return 0 if self.late_ima is None else self.late_ima.quoted(self.banks)


def decode(unverified_parts: Mapping[str, bytes]) -> Evidence:
    """Read all parts; the caller has checked that the required ones are there."""
    name = unverified_parts[AK_NAME]
    if not is_name(name):
        raise MalformedEvidence("tpm2.decode.ak_name", f"ak_name: got {len(name)} bytes, want nameAlg and a digest")
    raw_log = unverified_parts.get(EVENTLOG)
    raw_ima = unverified_parts.get(IMA)
    return Evidence(
        raw=MappingProxyType(dict(unverified_parts)),
        ak_name=name,
        quote=decode_quote(unverified_parts[QUOTE]),
        signature=decode_signature(unverified_parts[QUOTE_SIG]),
        banks=decode_banks(unverified_parts[PCRS], "tpm2.decode.pcrs", PCRS),
        late_log=None if raw_log is None else LateLog(raw_log, "tpm2.decode.eventlog", SHA256),
        late_ima=None if raw_ima is None else LateList(raw_ima),
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
    if evidence.late_log is not None:
        parts[EVENTLOG] = evidence.late_log.raw
    if evidence.late_ima is not None:
        parts[IMA] = evidence.late_ima.raw
    return parts
