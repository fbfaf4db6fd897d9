"""Published cases of ``tdx``, judged offline: see ``dcap.case``."""

from __future__ import annotations

from typing import Final

from verifier.tee.case import CaseForm
from verifier.tee.dcap.case import form_of
from verifier.tee.tdx.scheme import SCHEME
from verifier.tee.tdx.words import REMEDIES, WORDS

CASE: Final[CaseForm] = form_of(SCHEME, WORDS, REMEDIES)
