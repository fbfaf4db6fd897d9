"""Bytes to the evidence of ``sgx``: one quote. Proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from verifier.tee.dcap.decode import Quote, SgxReport, decode_quote, encode_quote
from verifier.tee.dcap.layout import TEE_SGX

DECODE_ID: Final = "sgx.decode.quote"
_TEES: Final = frozenset({TEE_SGX})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quote of an enclave, unverified; ``report`` is its body."""

    quote: Quote
    report: SgxReport


def decode(parts: Mapping[str, bytes]) -> Evidence:
    """Decode ``quote``. Raises ``MalformedEvidence`` and nothing else."""
    quote = decode_quote(parts["quote"], DECODE_ID, _TEES)
    if not isinstance(quote.body, SgxReport):
        raise TypeError("an SGX quote has an SGX report body")  # ``decode_quote`` ties body type to TEE type
    return Evidence(quote, quote.body)


def encode(evidence: Evidence) -> dict[str, bytes]:
    """Write the parts back; the inverse of ``decode``."""
    return {"quote": encode_quote(evidence.quote)}
