"""SGX in words: what each evidence claim means, and what to change where no check or rule says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words import dcap
from verifier.tee.sgx.layout import NAME

WORDS: Final[Mapping[str, str]] = MappingProxyType({**dcap.WORDS, **dcap.SGX_WORDS})
REMEDIES: Final[Mapping[str, str]] = dcap.remedies_of(NAME)
