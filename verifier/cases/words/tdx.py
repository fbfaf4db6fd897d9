"""TDX in words: what each evidence claim means, and what to change where no check or rule says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words import dcap
from verifier.cases.words.tcg_eventlog import LOG_WORDS

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dcap.WORDS,
        **dcap.TDX_WORDS,
        "log": "the event log of the trust domain's firmware (CCEL); registers 1 to 4 are RTMR0 to RTMR3",
        **{f"log.{name}": text for name, text in LOG_WORDS.items()},
    }
)
