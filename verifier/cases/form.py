"""Cases: a folder of evidence with a stated expectation, as ``docs/cases.md`` lays it out, judged offline.

A case's ``policy`` is not an appraisal policy: each key sets one rule, an absent one has the page's default, an unknown one
is a usage error (``CaseError``, exit 64). Nothing judged here can ever mint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from verifier.core.rules import Finding
from verifier.formats.x509chain import Root
from verifier.tee.scheme import Verified


class CaseError(Exception):
    """The case itself is wrong (unknown policy key, wrong ``sha256``, missing listed file): a usage error, exit 64."""


class IncompleteCase(CaseError):
    """The case lists no file of a kind that its platform's evidence cannot do without: no usage error but a no, ``malformed``."""

    def __init__(self, check_id: str, detail: str) -> None:
        super().__init__(detail)
        self.check_id = check_id
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CaseFiles:
    """A case as read from its folder; file contents are unverified."""

    platform: str
    evidence: Mapping[str, bytes]  # file name -> bytes
    collateral: Mapping[str, bytes]
    policy: Mapping[str, Any]
    now: int  # verify_at, Unix seconds
    crl_required: bool | None = None  # case.json's own word; None where it says nothing


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """Genuine, with the findings of the rules that the case's policy sets; accepted when every one holds."""

    findings: tuple[Finding, ...] = ()
    root: Root | None = None
    anchor: str = "built-in"  # "case-given" where only the case can give the anchor
    # What a scheme's own checks let through; ``verifier identity from-evidence`` reads an identity off it.
    verified: Verified[Any, Any] | None = None


@dataclass(frozen=True, slots=True)
class CaseForm:
    """How one platform's cases are judged.

    ``claims(files)`` decodes and returns the evidence claims under the case's own names (what the bytes say, not what may
    be trusted); raises ``MalformedEvidence``. ``fallback_claims`` are given where the evidence cannot be decoded; where they
    cannot be read either there are none. ``judge(files)`` returns a verdict or raises one of the three kinds of no.
    Either raises ``IncompleteCase`` where a file that the platform cannot do without is not among the case's.
    """

    platform: str
    policy_keys: frozenset[str]
    claims: Callable[[CaseFiles], dict[str, Any]]
    judge: Callable[[CaseFiles], CaseVerdict]
    fallback_claims: Callable[[CaseFiles], dict[str, Any]] = field(default=lambda _files: {})
    # What each evidence claim means, by its (dotted) name, in plain words: ``verifier explain`` prints them.
    words: Mapping[str, str] = field(default_factory=dict)
    # Claims that are words of bits, by their dotted name: name of each bit -> its place. Hex that does not start with 0x is
    # bytes as they stand in the evidence, least significant first.
    bits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    # Claims that are moments: seconds or milliseconds since 1970.
    times: Mapping[str, Literal["s", "ms"]] = field(default_factory=dict)
