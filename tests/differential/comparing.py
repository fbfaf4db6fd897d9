"""One comparison: our verdict beside somebody else's, over many inputs, with what may differ named beforehand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from verifier.formats.errors import BridgeError


@dataclass(frozen=True, slots=True)
class Known:
    """A difference that docs/adr/0008 decides: who is right, by which clause. ``covers`` looks at both verdicts.

    ``ours`` and ``theirs`` are the reasons given, "" for a yes.
    """

    name: str
    covers: Callable[[str, str], bool]


def ours_alone(name: str, check_id: str) -> Known:
    """Name a check of ours that the other side does not make: it says yes where ours says no under exactly this id."""
    return Known(name, lambda ours, theirs: ours.startswith(f"{check_id}:") and not theirs)


def theirs_alone(name: str, *texts: str) -> Known:
    """Name a refusal of theirs that is wrong, or that is a rule with us: it gives one of these reasons where ours says yes."""
    return Known(name, lambda ours, theirs: not ours and any(text in theirs for text in texts))


@dataclass(slots=True)
class Tally:
    """What came of one run."""

    inputs: int = 0
    both_yes: int = 0
    both_no: int = 0
    known: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """Return the figures."""
        return {
            "inputs": self.inputs,
            "both_yes": self.both_yes,
            "both_no": self.both_no,
            "decided_in_adr_0008": dict(sorted(self.known.items())),
            "disagreements": len(self.unexplained),
        }


def our_verdict(judge: Callable[[], object]) -> str:
    """Return "" for a yes, else ``check_id: detail``."""
    try:
        judge()
    except BridgeError as error:
        return f"{error.check_id}: {error.detail}"
    return ""


def compare(tally: Tally, name: str, ours: str, theirs: str, known: Iterable[Known]) -> None:
    """Count one input. ``ours`` and ``theirs`` are "" for a yes, the reason for a no."""
    tally.inputs += 1
    if bool(ours) == bool(theirs):
        if ours:
            tally.both_no += 1
        else:
            tally.both_yes += 1
        return
    for one in known:
        if one.covers(ours, theirs):
            tally.known[one.name] += 1
            return
    tally.unexplained.append(f"{name}: ours {ours or 'yes'} | theirs {theirs or 'yes'}")
