"""Judges that the rules of all schemes share, and the one wording that they have: field, got, want.

A judge answers whatever the evidence says. Where the detail is left empty the field's own name, what was seen and what is expected
say all there is. ``read`` takes the field out of verified evidence; bytes are compared and shown as lower-case hex.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from verifier.core.rules import IDENTITY_CLASSES, Judgement, Rule, TrustClaim
from verifier.formats.encoding import sha256
from verifier.tee.scheme import Bin, Matched, Verified

AnyVerified: TypeAlias = Verified[Any, Any]
Judge: TypeAlias = Callable[[AnyVerified, Any], Judgement]
Read: TypeAlias = Callable[[AnyVerified], Any]

_SHOWN: Final = 8  # values of a list that a detail names


class Rows:
    """Makes the rows of a scheme's table of rules: ``row("vmpl", "firmware.vmpl", judge, "configuration", "vmpl")``.

    In order: the id behind the scheme's name; class and field; the judge; the AR4SI claim that it lowers; the layout fields that it
    judges. ``service`` rows judge a state that is refused unless the policy's exception ``allow_<name>`` lets it pass.
    """

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme

    def __call__(
        self, noun: str, place: str, judge: Judge, claim: TrustClaim = "executables", *fields: str, **more: Any
    ) -> Rule[Any]:
        """Return a rule; ``more`` is what ``Rule`` takes by name."""
        scope, _, field = place.partition(".")
        if scope not in (*IDENTITY_CLASSES, "service"):
            raise TypeError(f"{noun}: got class {scope!r}, want one of {IDENTITY_CLASSES} or service")
        return Rule(f"{self.scheme}.{noun}", scope, field, judge, fields, claim, **more)

    def service(self, noun: str, name: str, is_set: Read, claim: TrustClaim, *fields: str) -> Rule[Any]:
        """Return a service rule with its exception."""
        return self(noun, f"service.allow_{name}", unless_allowed(name, is_set), claim, *fields, default=False)


def say(ok: bool, seen: Any, detail: str) -> Judgement:  # noqa: FBT001 - a judgement's first word
    """Return a judgement whose detail is told only where it says no."""
    return Judgement(ok, seen, "" if ok else detail)


def nothing(seen: Any, field: str, want: str) -> Judgement:
    """Fail because the expected value compares nothing."""
    return Judgement(ok=False, seen=seen, detail=f"{field}: got nothing to compare, want {want}")


def unless_allowed(name: str, is_set: Read) -> Judge:
    """Judge a state that is refused unless the policy's exception (a boolean) allows it."""

    def judge(verified: AnyVerified, allowed: Any) -> Judgement:
        seen = bool(is_set(verified))
        return say(not seen or allowed is True, {name: seen}, f"{name}: got on, want off")

    return judge


def same(read: Read, what: str = "") -> Judge:
    """Judge a word, a number or a switch against exactly that; ``True`` is no 1."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified)
        ok = seen == expected and type(seen) is type(expected)
        return say(ok, seen, f"{what}: got {on_off(seen)}, want {on_off(expected)}" if what else "")

    return judge


def equals(read: Read, what: str = "") -> Judge:
    """Judge bytes against exact hex, in constant time."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified).hex()
        ok = hmac.compare_digest(seen, str(expected))
        return say(ok, seen, f"{what}: got {seen}, want {expected}" if what else "")

    return judge


def at_least(what: str, read: Read, number: Callable[[Any], Any] = lambda value: value) -> Judge:
    """Judge a value against a floor. ``number``: what a value counts as, where it is not a number itself ("1.55.8")."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified)
        ok = seen is not None and number(seen) >= number(expected)
        return say(ok, seen, f"{what}: got {seen}, want at least {expected}")

    return judge


def version(text: str) -> tuple[int, ...]:
    """Return what a dotted version counts as."""
    return tuple(int(part) for part in text.split("."))


def _names(seen: Any) -> tuple[str, ...]:
    """Return the names by which something is known: one, several, or none."""
    if seen is None or isinstance(seen, str):
        return (seen,) if seen else ()
    return (seen.hex(),) if isinstance(seen, bytes) else tuple(seen)


def _listed(expected: Sequence[str]) -> str:
    return ", ".join(expected) if len(expected) <= _SHOWN else f"{len(expected)} listed"


def _shown(seen: Any) -> Any:
    return seen.hex() if isinstance(seen, bytes) else list(seen) if isinstance(seen, tuple) else seen


def one_of(what: str, read: Read) -> Judge:
    """Judge a name, bytes, or a tuple of names: one of them is on the list. What is not there is on no list."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified)
        names = _names(seen)
        detail = f"{what}: got {' / '.join(names) or 'nothing'}, want one of {_listed(expected)}"
        return say(any(name in expected for name in names), _shown(seen), detail)

    return judge


def none_of(what: str, read: Read) -> Judge:
    """Judge a name, bytes, or a tuple of names: none of them is on the list. What is not there cannot be told from a denied one."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified)
        names = _names(seen)
        denied = not names or any(name in expected for name in names)
        return say(not denied, _shown(seen), f"{what}: got {' / '.join(names) or 'nothing'}, want none of the denied")

    return judge


def bits(what: str, read: Read) -> Judge:
    """Judge every switch that is named; none named is a failure. One that the evidence does not have is neither on nor off."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = dict(read(verified))
        if not isinstance(expected, Mapping) or not expected:
            return nothing(seen, what, "at least one switch")
        off = sorted(name for name, value in expected.items() if seen.get(name) is not value)
        said = (f"{name}: got {on_off(seen.get(name))}, want {on_off(expected[name])}" for name in off)
        return say(not off, seen, "; ".join(said))

    return judge


def on_off(value: Any) -> str:
    """Word a switch."""
    return ("on" if value else "off") if isinstance(value, bool) else "nothing" if value is None else str(value)


def masked(read: Read) -> Judge:
    """Judge bytes (big-endian) or a 32-bit word under ``mask`` against ``value``, both hex."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        seen = read(verified)
        number = seen if isinstance(seen, int) else int.from_bytes(seen, "big")
        shown = f"0x{seen:08x}" if isinstance(seen, int) else seen.hex()
        return Judgement(number & int(expected["mask"], 16) == int(expected["value"], 16), shown)

    return judge


def registers(label: str, read: Callable[[AnyVerified], Mapping[int, bytes]]) -> Judge:
    """Judge the registers that are named by their index; none named is a failure, one that is not there differs."""

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        values = read(verified)
        if not expected:
            return nothing(None, f"{label}s", f"at least one {label}")
        seen = {index: values[int(index)].hex() if int(index) in values else None for index in expected}
        wrong = sorted((index for index in expected if seen[index] != expected[index]), key=int)
        said = (f"{label}{index}: got {seen[index] or 'nothing'}, want {expected[index]}" for index in wrong)
        return say(not wrong, seen, "; ".join(said))

    return judge


def extended_once(
    label: str,
    read: Callable[[AnyVerified], Mapping[int, bytes]],
    extend: Callable[[bytes], bytes],
    *,
    absent: bytes | None = None,
) -> Judge:
    """Judge the register that holds the attester's configuration: extended once, from zero, with its digest; "none": never.

    ``extend``: what one extend of zeros with a digest gives. ``absent``: what a register counts as that is not there.
    """

    def judge(verified: AnyVerified, expected: Any) -> Judgement:
        index, digest = expected.get("pcr"), expected.get("digest")
        value = read(verified).get(index, absent)
        seen = {"pcr": index, "value": None if value is None else value.hex()}
        if not isinstance(digest, str) or value is None:
            detail = f"{label}{index}: got none in the quote's selection, want it"
            return Judgement(ok=False, seen=seen, detail=detail)
        want = bytes(len(value)) if digest == "none" else extend(bytes.fromhex(digest))
        detail = f"{label}{index}: got {value.hex()}, want {want.hex()} ({digest} extended once)"
        return say(value == want, seen, detail)

    return judge


def bins_of(
    fields: Sequence[str],
    judged: frozenset[str],
    *,
    bound: frozenset[str] = frozenset(),
    ignored: frozenset[str] = frozenset(),
) -> Mapping[str, Bin]:
    """Put every field into its bin: what a rule judges, what a check ties, what follows from others; all else is reported."""
    named: dict[str, Bin] = {**dict.fromkeys(ignored, "ignored"), **dict.fromkeys(bound, "bound")}
    return {name: "rules" if name in judged else named.get(name, "reported") for name in fields}


def judged_by(rules: Sequence[Any]) -> frozenset[str]:
    """Return the layout fields that some rule judges."""
    return frozenset(name for rule in rules for name in rule.layout_fields)


def over_registers(
    values: Mapping[int, bytes],
    matched: tuple[Matched, ...],
    also: Callable[[Mapping[str, Any]], set[int]] = lambda _values: set(),
) -> str:
    """SHA-256 over the raw values of all registers that matched firmware and workload identities select, each once, ascending.

    ``also``: what an identity selects beside ``pcrs`` and ``event_log``. "" where nothing is selected, or one is not among ``values``.
    """
    indexes: set[int] = set()
    for identity in matched:
        if identity.scope in ("firmware", "workload"):
            indexes |= {int(index) for index in identity.values.get("pcrs") or {}}
            indexes |= {int(rule["index"]) for rule in identity.values.get("event_log") or ()}
            indexes |= also(identity.values)
    if not indexes or not indexes <= values.keys():
        return ""
    return sha256(b"".join(values[index] for index in sorted(indexes))).hex()


# What runs behind the boot loader. Not 10, IMA's, which every file that is opened extends: a value of it says nothing tomorrow.
_SOFTWARE_PCRS: Final = (8, 9, 11, 12, 13, 14)


def observed_software(values: Mapping[int, bytes]) -> dict[str, str] | None:
    """Return PCRs 8 to 14 without IMA's as an identity of this machine has them, where something was measured."""
    return {str(i): values[i].hex() for i in _SOFTWARE_PCRS if i in values and any(values[i])} or None
