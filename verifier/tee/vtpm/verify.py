"""Checks of a vTPM's quote under a key that something else vouches for.

Checked: scheme and hash of the signature, the signature itself, PCR selection and digest, event log against the quoted PCRs.
Not checked here: who vouches for the key (the composite), the challenge (``run_checks`` compares extraData centrally), whether
the values are wanted (``rules``). qualifiedSigner is reported: the AK's public area, which its Name is made of, is not evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.replay import require_replay
from verifier.tee.tpm2 import quote as steps
from verifier.tee.tpm2.keys import Key
from verifier.tee.vtpm.quote import QUOTE


def quote_checks(
    scheme: str, key_of: Callable[[Subject[Any, Any]], Key], *, schemes: frozenset[int]
) -> tuple[Check[Any, Any], ...]:
    """Return the checks of the quote part, in order. ``key_of``: the AK, once something vouches for it; its no comes first."""

    def check_scheme(subject: Subject[Any, Any]) -> None:
        steps.require_scheme(subject.evidence.tpm.signature, schemes=schemes)

    def check_signature(subject: Subject[Any, Any]) -> None:
        tpm = subject.evidence.tpm
        steps.require_signature(key_of(subject), tpm.signature, tpm.raw[QUOTE])

    return (
        Check(f"{scheme}.quote.scheme", check_scheme),
        Check(f"{scheme}.quote.signature", check_signature),
        *steps.quote_checks(scheme, lambda subject: subject.evidence.tpm, require_replay),
    )
