"""Published cases of ``sgx``, judged offline: see ``dcap.case``."""

from __future__ import annotations

from typing import Final

from verifier.cases.form import CaseForm
from verifier.cases.platforms.dcap import form_of
from verifier.cases.words import words_of
from verifier.tee.sgx.scheme import SCHEME

CASE: Final[CaseForm] = form_of(SCHEME, words_of("sgx"))
