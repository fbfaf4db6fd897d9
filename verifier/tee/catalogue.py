"""The home of check ids: every id of the verifier with its meaning and its remedy, as the folder that says it has them.

Each folder's ``checks.toml`` is read when one of its ids is asked for: nothing is read while all is well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from verifier.core.catalogue import CheckText, Listed, texts_in
from verifier.tee.registry import SCHEMES

# Evidence that stands beside others and has no scheme of its own, and the folder of each.
_BESIDE: Final[Mapping[str, str]] = MappingProxyType({"tcg-eventlog": "tcg", "ccel": "ccel", "ima": "ima"})
_CORE: Final = "verifier.core"
# What comes with the evidence, or with a case, or not at all: the verifier's own sources are never asked for it.
_CARRIED: Final = frozenset({"ark", "ak_cert", "ak_chain", "td_quote"})
# What is true of every part and every endorsement, where nothing more exact is written down.
_DECODE: Final = (
    "have the attester send this part as the hardware gave it: whole, unchanged, in the layout of the scheme's page"
)
_ENDORSEMENT: Final = (
    "give the verifier this endorsement: let it fetch it, import a bundle, or put the file beside the evidence"
)


def _own(owner: str) -> Mapping[str, CheckText]:
    """Return the file of a scheme, of evidence beside others, or, for every other first label, of the ids of no scheme."""
    if owner in SCHEMES:
        return texts_in(f"verifier.tee.{owner.replace('-', '_')}")
    return texts_in(f"verifier.tee.{_BESIDE[owner]}" if owner in _BESIDE else _CORE)


def _of_others(name: str) -> Iterator[tuple[str, CheckText]]:
    """Say what a scheme refuses when something is missing that another scheme reads: of its parts, and of what these need.

    One that is there and cannot be read has an id of the scheme that reads it.
    """
    scheme = SCHEMES[name]
    for part in sorted(scheme.form.required):
        yield f"{name}.decode.{part}", CheckText(f"the part {part} is missing")
    for other in scheme.verification.anchors_of:
        start = f"{other}.endorsement."
        # On Azure there is no need of a VLEK: a VCEK signs what a paravisor asks for.
        unasked = _CARRIED | ({"vlek"} if name.startswith("azure-") else set())
        for noun in (i.removeprefix(start) for i in _own(other) if i.startswith(start)):
            if noun not in unasked:
                text = f"{noun}, which {other} needs, is missing: cannot decide"
                yield f"{name}.endorsement.{noun}", CheckText(text, outcome="cannot-decide")


def remedy_of(check_id: str) -> str:
    """Return what to change when this id says no; "" for none known (the empty id too)."""
    owner, _, noun = check_id.partition(".")
    text = _own(owner).get(check_id)
    if text is not None and text.remedy:
        return text.remedy
    if noun.startswith("decode."):
        return _DECODE
    return _ENDORSEMENT if noun.startswith("endorsement.") else ""


def listed(prefix: str = "") -> Iterator[Listed]:
    """Go through every id that may be below a prefix: those of no scheme first, then by scheme, in the order of the files."""
    owner = prefix.partition(".")[0]
    if owner in SCHEMES or owner in _BESIDE:
        owners: tuple[str, ...] = (owner,)
    else:
        owners = ("",) if any(i.startswith(f"{owner}.") for i in _own("")) else ("", *SCHEMES, *_BESIDE)
    for one in owners:
        scheme = SCHEMES.get(one)
        checks = set() if scheme is None else {check.id for check in scheme.verification.checks}
        rules = set() if scheme is None else {rule.id for rule in scheme.appraisal.rules}
        own = _own(one)
        others = {} if scheme is None else {i: text for i, text in _of_others(one) if i not in own}
        for check_id, text in {**own, **others}.items():
            kind = "check" if check_id in checks else "rule" if check_id in rules else text.outcome
            yield Listed(check_id, kind, text.meaning, remedy_of(check_id))
