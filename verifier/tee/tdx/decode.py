"""Bytes to the evidence of ``tdx``: one quote, and the CCEL log that may come beside it. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from verifier.tee.dcap.decode import Quote, TdReport, decode_quote, encode_quote
from verifier.tee.dcap.layout import TEE_TDX
from verifier.tee.tcg.late import LateLog, WithLog
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tcg.replay import zero_register

DECODE_ID: Final = "tdx.decode.quote"
DECODE_LOG: Final = "tdx.decode.eventlog"
# CC measurement registers of a CCEL log: 0 is MRTD, 1 to 4 are RTMR0 to RTMR3 (UEFI 2.10, section 38.4).
HIGHEST_REGISTER: Final = 4
_TEES: Final = frozenset({TEE_TDX})


@dataclass(frozen=True, slots=True)
class Evidence(WithLog):
    """A quote of a TD with its log, unverified; ``report`` is the quote's body. The log is read when a check asks for it.

    ``replayed`` are the SHA-384 registers that the log gives, by CC measurement register.
    """

    quote: Quote
    report: TdReport
    late_log: LateLog | None = None

    @property
    def registers(self) -> Mapping[int, bytes]:
        """RTMR0 to RTMR3 by CC measurement register."""
        return dict(enumerate(self.report.rtmrs, start=1))


def decode(parts: Mapping[str, bytes]) -> Evidence:
    """Decode ``quote`` and, where it is there, ``eventlog``. Raises ``MalformedEvidence`` and nothing else."""
    quote = decode_quote(parts["quote"], DECODE_ID, _TEES)
    if not isinstance(quote.body, TdReport):
        raise TypeError("a TDX quote has a TD report body")  # ``decode_quote`` ties body type to TEE type
    raw = parts.get("eventlog")
    if raw is None:
        return Evidence(quote, quote.body)
    late = LateLog(raw, DECODE_LOG, SHA384, max_register=HIGHEST_REGISTER, initial=zero_register)
    return Evidence(quote, quote.body, late)


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back; the inverse of ``decode``. The log is kept as it came."""
    parts = {"quote": encode_quote(evidence.quote)}
    if evidence.late_log is not None:
        parts["eventlog"] = evidence.late_log.raw
    return parts
