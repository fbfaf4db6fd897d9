"""What composites share: an inner scheme's rules, identity fields and bins, lifted into the scheme that contains it.

A composite (design.md section 3) is a scheme whose evidence holds evidence of others. Its inner parts are verified by their own
schemes (``Scheme.inner``); their rules keep their ids, so that ``sev-snp.policy.debug`` means the same wherever it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.base import Bin, Scheme, Verified


def lift(rule: Rule[Any], part: str, *, scope: Scope | None = None, field: str | None = None) -> Rule[Any]:
    """Return the rule of an inner scheme as a composite's: judged over ``verified.inner[part]``.

    ``part`` is the inner scheme's name. Scope and field may move, because the composite's identities are its own; layout fields
    become ``<part>.<field>``. Where the composite has no such part, the rule fails.
    """

    def judge(verified: Verified[Any, Any], expected: Any) -> Judgement:
        inner = verified.inner.get(part)
        if inner is None:
            return Judgement(ok=False, seen=None, detail=f"{part}: got no evidence of it, want it")
        return rule.judge(inner, expected)

    return replace(
        rule,
        judge=judge,
        scope=scope or rule.scope,
        field=field or rule.field,
        layout_fields=tuple(f"{part}.{name}" for name in rule.layout_fields),
    )


def lift_all(
    scheme: Scheme[Any, Any], *, wanted: Callable[[Rule[Any]], bool] = lambda _rule: True
) -> tuple[Rule[Any], ...]:
    """Lift every rule of an inner scheme that is wanted, in its order."""
    return tuple(lift(rule, scheme.name) for rule in scheme.rules if wanted(rule))


def lifted_fields(scheme: Scheme[Any, Any]) -> tuple[str, ...]:
    """Return the layout fields of an inner scheme under their names in the composite."""
    return tuple(f"{scheme.name}.{name}" for name in scheme.layout_fields)


def lifted_bins(
    scheme: Scheme[Any, Any], rules: Collection[Rule[Any]], bound: Collection[str] = ()
) -> Mapping[str, Bin]:
    """Return the bins of an inner scheme's fields: "rules" where a rule of the composite judges one, else what they were.

    A field that only a rule judged which the composite left out is "reported". ``bound``: fields that the composite ties instead.
    """
    judged = {name for rule in rules for name in rule.layout_fields}
    bins: dict[str, Bin] = {}
    for name, where in scheme.bins.items():
        lifted = f"{scheme.name}.{name}"
        if lifted in judged:
            bins[lifted] = "rules"
        elif name in bound:
            bins[lifted] = "bound"
        else:
            bins[lifted] = "reported" if where == "rules" else where
    return bins
