"""The steps of docs/architecture.md on one screen (``attest``), and TPM enrolment beside it (``enrol``)."""

from __future__ import annotations

from verifier.service.attest import Service
from verifier.service.enrol import Enrolments
from verifier.service.parts import Keys, Parts, Trust

__all__ = ["Enrolments", "Keys", "Parts", "Service", "Trust"]
