"""Tables of check ids in hand-written pages, between ``<!-- checks: WHAT -->`` and ``<!-- end -->``.

WHAT, of the scheme that the page is named after: ``reading`` (what cannot be read or is missing), ``checks`` (in order), ``service``
(rules with exceptions), ``rules`` (those of the identity classes), ``lifted`` (all of a composite, each with class and field).
Or prefixes of ids, the attester's too: ``wire service``. A page's ``reading`` leaves out what its prefixes have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from attester.cli.checks import listed as listed_by_attester
from verifier.core.catalogue import Listed, texts_in
from verifier.core.listing import is_below
from verifier.core.rules import Rule
from verifier.tee.catalogue import listed
from verifier.tee.registry import SCHEMES

_BLOCK = re.compile(r"^<!-- checks: ([a-z0-9_. -]+) -->$.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
_WORDS = ("reading", "checks", "service", "rules", "lifted")
_MINTS = " (such a policy mints only in a simulated process)"


def page_with_tables(path: Path) -> str:
    """Return a page with its tables made anew."""
    text = path.read_text(encoding="utf-8")
    elsewhere = [prefix for what in _BLOCK.findall(text) if what not in _WORDS for prefix in what.split()]
    return _BLOCK.sub(
        lambda block: f"<!-- checks: {block[1]} -->\n\n{_table(path.stem, block[1], elsewhere)}\n\n<!-- end -->", text
    )


@cache
def _all() -> dict[str, Listed]:
    return {one.id: one for one in (*listed(), *listed_by_attester())}


def _table(name: str, what: str, elsewhere: Iterable[str]) -> str:
    if what not in _WORDS:
        found = [one for prefix in what.split() for one in _all().values() if is_below(one.id, prefix)]
        rows = [(one.id, one.kind.replace("-", " "), _cell(one.meaning), _cell(one.remedy)) for one in found]
        return _rows(("id", "kind", "what is wrong", "what to do"), rows)
    scheme, own = SCHEMES[name], _own(name)
    if what == "reading":
        read = [one for one in own if one.kind not in ("check", "rule")]
        wrong = [(one.id, _cell(one.meaning)) for one in read if not any(is_below(one.id, p) for p in elsewhere)]
        return _rows(("id", "what is wrong"), wrong)
    if what == "checks":
        order = [check.id for check in scheme.verification.checks]
        checks = sorted((one for one in own if one.kind == "check"), key=lambda one: _place(one.id, order))
        return _rows(("id", "what is checked"), [(one.id, _cell(one.meaning)) for one in checks])
    rules = [rule for rule in scheme.appraisal.rules if what == "lifted" or rule.id.startswith(f"{name}.")]
    if what == "lifted":
        return _rows(("id", "class, field"), [(rule.id, _field(rule)) for rule in rules])
    of_service = [rule for rule in rules if rule.scope == "service"]
    if what == "service":
        held = [(rule.id, _cell(_all()[rule.id].meaning), _exception(name, rule)) for rule in of_service]
        return _rows(("id", "holds when", "exception"), held)
    named = [rule for rule in rules if rule.scope != "service"]
    return _rows(
        ("id", "class, field", "holds when"),
        [(rule.id, _field(rule), _cell(_all()[rule.id].meaning)) for rule in named],
    )


def _own(name: str) -> list[Listed]:
    """Return the ids of a scheme's own file, in its order."""
    return [_all()[check_id] for check_id in texts_in(f"verifier.tee.{name.replace('-', '_')}")]


def _place(check_id: str, order: list[str]) -> int:
    """Return a check's place; one of a composite's inner parts stands before all."""
    return order.index(check_id) if check_id in order else -1


def _field(rule: Rule[Any]) -> str:
    return f"{rule.scope}, `{rule.field}`{', mandatory' if rule.mandatory and rule.scope != 'service' else ''}"


def _exception(name: str, rule: Rule[Any]) -> str:
    appraisal = SCHEMES[name].appraisal
    if rule.field not in appraisal.exceptions.model_fields:
        return "none"
    return f"`{rule.field}`{_MINTS if rule.field in appraisal.debug_exceptions else ''}"


def _cell(text: str) -> str:
    """Write a text as a cell: outside of code a ``<`` would begin a tag, and a ``|`` ends the cell anywhere."""
    pieces = text.replace("|", r"\|").split("`")
    return "`".join(piece if n % 2 else piece.replace("<", r"\<") for n, piece in enumerate(pieces))


def _rows(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *(f"| `{check_id}` | {' | '.join(cells)} |" for check_id, *cells in rows)])
