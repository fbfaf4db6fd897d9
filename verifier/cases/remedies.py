"""What to change when a check says no: one clause for every check id, gathered from the registry. Pure.

The words are the schemes' own (``Check.remedy``, ``Rule.remedy``, ``CaseForm.remedies``); here are those of ids that belong to
no scheme, and what is true of every scheme's decode and endorsement ids where a scheme says nothing more exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

from verifier.cases.registry import CASES
from verifier.core.binding import BINDING_CHECK
from verifier.tee.registry import SCHEMES

COMMON: Final[Mapping[str, str]] = MappingProxyType(
    {
        BINDING_CHECK: "ask for fresh evidence over this challenge, these keys and this request: what came was made for another",
        "wire.evidence.parts": "send the parts that the scheme's page lists, each under its name, and no others",
        "wire.evidence.endorsements": "send only the endorsements that the scheme's page lists, each at most 24 KiB",
        "wire.evidence.components": "send the components that the scheme's page lists, each once, and no others",
        "wire.evidence.scheme": "name a scheme that this verifier has",
        "policy.scheme": "give the workload a policy of the scheme that its machine speaks",
        "policy.nothing": "give the policy something to compare",
        "policy.identity.window": "pin a version whose window is open, or have the trust owner publish one",
    }
)
_DECODE: Final = (
    "have the attester send this part as the hardware gave it: whole, unchanged, in the layout of the scheme's page"
)
_ENDORSEMENT: Final = (
    "give the verifier this endorsement: let it fetch it, import a bundle, or put the file beside the evidence"
)


@cache
def _stated() -> Mapping[str, str]:
    """Gather what schemes and case forms say; where an id is said twice, a check's or rule's own words come first."""
    table: dict[str, str] = {}
    for scheme in SCHEMES.values():
        said = [(check.id, check.remedy) for check in scheme.checks]
        said += [(rule.id, rule.remedy) for rule in scheme.rules]
        for check_id, remedy in said:
            if remedy:
                table.setdefault(check_id, remedy)
    for form in CASES.values():
        for check_id, remedy in form.remedies.items():
            table.setdefault(check_id, remedy)
    return MappingProxyType({**table, **COMMON})


def remedy_of(check_id: str) -> str:
    """Return what to change when this id says no; "" for none known (the empty id too)."""
    stated = _stated().get(check_id)
    if stated is not None:
        return stated
    _scheme, _dot, noun = check_id.partition(".")
    if noun.startswith("decode."):
        return _DECODE
    return _ENDORSEMENT if noun.startswith("endorsement.") else ""
