"""Rules: is the evidence *wanted*? A rule is data with an id; the engine in ``appraise`` runs them all and keeps every finding.

A check (``tee.scheme``) asks whether evidence is genuine and raises; a rule never raises, it judges. Vocabulary: AR4SI
(draft-ietf-rats-ar4si) for the trust claims that a failing rule lowers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, Literal, TypeVar, get_args

V = TypeVar("V")

# Which document says what is expected. "service" rules are defaults of the scheme (docs/tee): they hold unless the
# appraisal policy names the exception; the others compare with a field of an identity of that class.
Scope = Literal["service", "platform", "firmware", "workload", "config"]
IDENTITY_CLASSES: tuple[Scope, ...] = ("platform", "firmware", "workload", "config")

TrustClaim = Literal[
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
]
TRUST_CLAIMS: tuple[TrustClaim, ...] = get_args(TrustClaim)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule saw. ``seen`` is JSON for the operator's eyes (hex for bytes).

    ``value``: the AR4SI value of a rule that holds where it is not ``holds_as`` (an accepted platform that is out of date).
    """

    ok: bool
    seen: Any
    detail: str = ""
    value: int | None = None


def is_something(expected: Any) -> bool:
    """Tell whether an expected value compares anything: one left out does not, nor zero where nothing is measured (no ID key)."""
    if isinstance(expected, list | tuple):
        return any(is_something(one) for one in expected)
    return expected is not None and not (isinstance(expected, str) and not expected.strip("0"))


@dataclass(frozen=True, slots=True)
class Rule(Generic[V]):
    """One rule, a row of a scheme's table. ``judge(verified, expected)`` is pure and total: whatever the evidence says, it answers.

    ``field`` is the key in the identity's ``values`` (scope platform, firmware, workload, config) or in the policy's
    ``exceptions`` (scope service); ``layout_fields`` names what it judges, for the conformance suite's bins;
    ``default`` is what a service rule expects when the policy names no exception.
    ``expected`` is the validated field of the identity's pydantic model in JSON form, sub-keys listed in ``unchecked`` taken out.
    What the id means and what to change when it says no stands in the folder's ``checks.toml``.
    """

    id: str
    scope: Scope
    field: str
    judge: Callable[[V, Any], Judgement]
    layout_fields: tuple[str, ...] = ()
    trust_claim: TrustClaim = "executables"
    _: KW_ONLY
    default: Any = None
    fails_as: int = 96  # the AR4SI value when it fails: 96 contraindicated, 32 warning
    holds_as: int = 2  # the value when it holds: 2 affirming
    # Whether this expected value says which software runs, where the claim is "executables": a register of a rule may hold none.
    measures: Callable[[Any], bool] = is_something
    mandatory: bool = False  # nothing can switch it off, neither ``unchecked`` nor an exception

    def worth(self, judgement: Judgement) -> int:
        """Return the AR4SI value of an outcome: a holding rule may have seen less than it was made to affirm."""
        if not judgement.ok:
            return self.fails_as
        return self.holds_as if judgement.value is None else judgement.value

    def finding(
        self, judgement: Judgement, expected: Any, identity: str = "", *, value: int | None = None, remedy: str = ""
    ) -> Finding:
        """Return what is kept of a judgement. ``identity``: "name@version" of what the evidence was compared with."""
        return Finding(
            self.id,
            self.scope,
            self.field,
            judgement.ok,
            expected,
            judgement.seen,
            identity,
            judgement.detail,
            remedy,
            self.trust_claim,
            self.worth(judgement) if value is None else value,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's outcome, kept for the record whether it held or not."""

    rule: str
    scope: Scope
    field: str
    ok: bool
    expected: Any
    seen: Any
    identity: str = ""  # "name@version" of the identity compared with; empty for service rules
    detail: str = ""
    remedy: str = ""
    trust_claim: TrustClaim = "executables"
    value: int = 96

    def as_json(self) -> dict[str, Any]:
        """Return the finding as the record keeps it: what says nothing is left out, what a failing rule needs is all there."""
        form = {"rule": self.rule, "ok": self.ok, "expected": self.expected, "seen": self.seen}
        if self.identity:
            form["identity"] = self.identity
        if self.detail:
            form["detail"] = self.detail
        if not self.ok:
            form |= {"scope": self.scope, "field": self.field, "trust_claim": self.trust_claim, "value": self.value}
            form["remedy"] = self.remedy
        return form
