"""SGX in words: what each evidence claim means, and what to change where no check or rule says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words import dcap

WORDS: Final[Mapping[str, str]] = MappingProxyType({**dcap.WORDS, **dcap.SGX_WORDS})
