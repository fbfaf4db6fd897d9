"""A compiled appraisal policy: what ``engine.appraise`` takes. Records alone; ``policy`` and ``identities`` make them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.core.rules import Rule, Scope, TrustClaim
from verifier.tee.scheme import Matched, Scheme

FOREVER = 2**62


@dataclass(frozen=True, slots=True)
class PreparedRule:
    """One rule with what it expects here. ``default`` is judged too where ``excepted``: the vector is never raised."""

    rule: Rule[Any]
    expected: Any
    identity: str = ""
    excepted: bool = False
    default: Any = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One identity of a class, with its rules and the window in which it may be used (Unix seconds, end exclusive)."""

    matched: Matched
    reference: str  # name@version
    rules: tuple[PreparedRule, ...]
    valid_from: int = -FOREVER
    valid_until: int = FOREVER


@dataclass(frozen=True, slots=True)
class CompiledClass:
    """One identity class: ``all_of`` its candidates (workload) or any of them (platform, firmware, config)."""

    scope: Scope
    all_of: bool
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPolicy:
    """A policy ready for ``engine.appraise``.

    ``digest``: SHA-256 over the RFC 8785 form of the policy and every identity it resolves to, signatures left out.
    ``unchecked_classes``: classes left unchecked as a whole, or a software class of which no rule about executables is left.
    ``unclaimed``: trust claims that are not affirmed, since what bears on them is not looked at.
    ``essential``: claims that must be affirmed before the whole is.
    ``allows_debug``: the policy excepts the debug rule; it may mint in a simulated process only (docs/operations.md).
    """

    tenant: str
    name: str
    version: int
    scheme: Scheme[Any, Any]
    digest: bytes
    service: tuple[PreparedRule, ...]
    classes: tuple[CompiledClass, ...]
    unchecked: frozenset[str]
    unchecked_classes: frozenset[str]
    unclaimed: frozenset[TrustClaim]
    essential: frozenset[TrustClaim]
    exceptions: Mapping[str, Any]
    allows_debug: bool
    newest: tuple[str, ...]  # identities asked for as "newest", as name@version
