"""Placeholder of the lead for types; the sev-snp author writes the rest here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Root = Literal["vendor", "private", "simulated", "case-given"]


@dataclass(frozen=True, slots=True)
class Anchor:
    """A pinned trust anchor: the certificate, and whose word it is. Issuers are selected by key, never by name alone."""

    name: str
    certificate_der: bytes
    root: Root


class ChainCache:
    """Verified chains, kept until the earliest notAfter or nextUpdate; flushed by a new CRL."""
