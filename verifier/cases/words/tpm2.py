"""TPM 2.0 quotes in words: what each claim of a quote means, and what to change when a check says no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words.tcg_eventlog import LOG_WORDS

QUOTE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bank": "hash algorithm of the PCRs that were quoted",
        "qualified_signer": "name of the key that signed, with the hierarchy above it",
        "extra_data": "what was asked to be signed with the quote: the nonce, or the binding to challenge, keys and request",
        "clock": "milliseconds that the TPM has been powered, over its life",
        "reset_count": "how often the machine was reset",
        "restart_count": "how often it was resumed since the last reset",
        "safe": "whether the clock is certain not to have gone back",
        "firmware": "version of the TPM's firmware, in the vendor's own form",
        "pcr_select": "PCRs that were quoted, by bank",
        "pcr_digest": "digest over the values of all quoted PCRs",
    }
)

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **QUOTE_WORDS,
        "quotes": "the quotes, each with its own selection",
        **{f"quotes.{name}": text for name, text in QUOTE_WORDS.items()},
        "ak_name": "name of the attestation key: the digest of its public area",
        "ak_type": "kind of the attestation key",
        "ak_cert_subject": "whom the attestation key's certificate names",
        "pcrs": "PCR values that came with the quote, by bank; they count where they hash to its digest",
        "log": "the event log that came with the quote",
        **{f"log.{name}": text for name, text in LOG_WORDS.items()},
        "ima": "the list of measured files that came with the quote",
        "ima.entries": "how many entries the list has",
        "ima.quoted_entries": "how many of them the quoted PCR 10 bears out; what follows was measured after the quote",
        "ima.template": "which templates the entries are written in",
        "ima.violations": "how many quoted entries say that a file was written to while it was measured",
    }
)
