"""Evidence in words: every claim with its meaning, every check in order, every finding with what to change. Pure.

What is shown is what the bytes say, not what may be trusted: the verdict stands beside it. Text out of evidence is escaped, so
that nothing in it reaches a terminal as anything but text. Nothing here decides; the verdict is ``offline``'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from verifier.appraise.compiled import CompiledPolicy
from verifier.cases.form import CaseFiles, CaseForm
from verifier.cases.judge import OfflineVerdict, judge_case, judge_parts
from verifier.tee.scheme import Scheme
from verifier.tee.verified import watched_checks

CheckState = Literal["held", "failed", "not reached"]

_HEX = re.compile(r"(?:[0-9a-f]{2}){4,}", re.ASCII)
_NUMBER = re.compile(r"0x[0-9a-f]{1,32}", re.ASCII)
_LONGEST = 2048
_LAST_SECOND = 253402300799  # 9999-12-31T23:59:59Z


@dataclass(frozen=True, slots=True)
class Told:
    """One claim of the evidence: its dotted name, its value, the value as people read it, and what it means."""

    name: str
    value: Any
    shown: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A verdict with everything that it rests on. ``own_steps``: the case form judges by steps beside or instead of its scheme's."""

    verdict: OfflineVerdict
    told: tuple[Told, ...]
    checks: tuple[tuple[str, CheckState], ...]
    own_steps: bool


def explain_case(form: CaseForm, files: CaseFiles, scheme: Scheme[Any, Any] | None) -> Explanation:
    """Judge a case and say everything about it. ``scheme``: the platform's, where it has one."""
    with watched_checks() as seen:
        verdict = judge_case(form, files)
    return _explained(verdict, form, scheme, seen)


def explain_parts(
    scheme: Scheme[Any, Any],
    form: CaseForm | None,
    parts: Mapping[str, bytes],
    endorsements: Mapping[str, bytes],
    *,
    now: int,
    user_data: bytes | None,
    policy: CompiledPolicy | None,
) -> Explanation:
    """Judge the parts of one scheme's evidence and say everything about it. ``form`` has the words."""
    with watched_checks() as seen:
        verdict = judge_parts(scheme, parts, endorsements, now=now, user_data=user_data, policy=policy)
    return _explained(verdict, form, scheme, seen)


def _explained(
    verdict: OfflineVerdict, form: CaseForm | None, scheme: Scheme[Any, Any] | None, seen: list[tuple[str, bool]]
) -> Explanation:
    checks: list[tuple[str, CheckState]] = [(check_id, "held" if held else "failed") for check_id, held in seen]
    ran = {check_id for check_id, _state in checks}
    missed = [] if scheme is None else [check.id for check in scheme.verification.checks if check.id not in ran]
    # The list was worked through: to its end, to the check that said no, or not at all because nothing could be read.
    whole = not all(held for _check_id, held in seen) or (
        not missed if ran else verdict.outcome in ("malformed", "cannot-decide")
    )
    own_steps = scheme is None or not whole
    if not own_steps:
        checks += [(check_id, "not reached") for check_id in missed]
    return Explanation(verdict, tuple(tell(verdict.claims, form)), tuple(checks), own_steps)


def tell(claims: Mapping[str, Any], form: CaseForm | None) -> Iterator[Told]:
    """Go through the claims, tables and lists of tables opened, in their order."""
    for name, value in claims.items():
        yield from _tell(name, name, value, form)


def _tell(name: str, plain: str, value: Any, form: CaseForm | None) -> Iterator[Told]:
    """``plain`` is the name without places in lists, which is what words are kept under."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _tell(f"{name}.{key}", f"{plain}.{key}", item, form)
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        for place, item in enumerate(value):
            yield from _tell(f"{name}.{place}", plain, item, form)
    else:
        yield Told(escaped(name), value, _shown(plain, value, form), meaning(plain, form))


def meaning(name: str, form: CaseForm | None) -> str:
    """Return the words for a dotted name, or for the nearest name above it (``registers`` for ``registers.sha256.0``)."""
    words = {} if form is None else form.words
    while name:
        if name in words:
            return words[name]
        name = name.rpartition(".")[0]
    return ""


def _shown(name: str, value: Any, form: CaseForm | None) -> str:
    if value is None:
        return "not in the evidence"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        unit = None if form is None else form.times.get(name)
        return str(value) if unit is None else f"{_moment(value, unit)} ({value})"
    if isinstance(value, list | tuple | Mapping):
        return ", ".join(_item(item) for item in value) if value else "none"
    text = str(value)
    bits = None if form is None else form.bits.get(name)
    if bits is not None and (_NUMBER.fullmatch(text) or _HEX.fullmatch(text)):
        return f"{text} ({_bits(text, bits)})"
    if _HEX.fullmatch(text):
        zero = "" if text.strip("0") else ", all zero"
        return f"{text} ({len(text) // 2} bytes{zero})"
    return escaped(text)


def _item(item: Any) -> str:
    if isinstance(item, list | tuple):
        return f"[{', '.join(_item(one) for one in item)}]"
    return escaped(str(item))


def _moment(value: int, unit: Literal["s", "ms"]) -> str:
    seconds = value // 1000 if unit == "ms" else value
    if not 0 <= seconds <= _LAST_SECOND:
        return "no moment that a calendar has"
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _bits(text: str, bits: Mapping[str, int]) -> str:
    word = int(text, 16) if text.startswith("0x") else int.from_bytes(bytes.fromhex(text), "little")
    names = {place: name for name, place in bits.items()}
    found = [names.get(place, f"bit {place}") for place in range(word.bit_length()) if word >> place & 1]
    return f"set: {', '.join(found)}" if found else "no bit set"


def escaped(text: str) -> str:
    """Write what does not print as an escape, and cut what no screen holds."""
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
