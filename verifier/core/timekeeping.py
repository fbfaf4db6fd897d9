"""May the time be believed? One judgement for all that cannot be undone and goes by the clock. Pure.

Four witnesses: the machine's clock, the store's, what the store remembers (the newest record's time, and the time that was believed
last), and a clock that nobody sets (``steady_ms``), which tells a jump from the passing of time. On SQLite the store's clock is the
machine's own, so the other two carry the weight. docs/adr/0018-when-the-time-is-believed.md has the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from verifier.core.settings import SKEW_MS

# A jump ahead is believed when it has lasted for a tenth of its size: 40 days for 4 days, an hour for 6 minutes.
JUMP_OVER_TRIAL: Final = 10
# Logins are held up no longer than this: a machine that was paused over a weekend has to serve again by itself.
LOGIN_TRIAL_MAX_MS: Final = 10 * 60 * 1000
# So near to the time that was kept last, a clock agrees with it: it is kept every few seconds.
NEAR_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class StoreTimes:
    """What the store knows of the time, Unix milliseconds; 0 for none."""

    store_ms: int  # its own clock
    record_ms: int  # the newest time of any record, as the head of the chain has it
    kept_ms: int  # the time that was believed last


@dataclass(frozen=True, slots=True)
class Times:
    """What a judgement goes by. ``steady_ms`` has an unknown start and never jumps."""

    machine_ms: int
    steady_ms: int
    store: StoreTimes


@dataclass(frozen=True, slots=True)
class Belief:
    """The time that was believed when the steady clock said ``steady_ms``; ``doubt`` says why the clock is not believed now."""

    time_ms: int
    steady_ms: int
    doubt: str = ""
    jump_ms: int = 0  # a jump ahead that is on trial ...
    since_ms: int = 0  # ... since the steady clock said this

    def expected(self, steady_ms: int) -> int:
        """Return what the time is if nobody has set the clock since."""
        return self.time_ms + steady_ms - self.steady_ms


def remembered(times: Times) -> Belief:
    """Begin with what the store remembers: how long nobody looked at the clock is not known. The first start believes its clock."""
    return Belief(times.store.kept_ms or times.store.record_ms or times.machine_ms, times.steady_ms)


def judge(times: Times, before: Belief, trial_max_ms: int | None = None) -> Belief:
    """Judge the machine's clock. A doubt leaves the belief where it was: the time goes on from there as if no clock had jumped."""
    machine_ms, store = times.machine_ms, times.store
    if abs(machine_ms - store.store_ms) > SKEW_MS:
        return _doubted(before, f"got {machine_ms - store.store_ms} ms off the store's clock, want {SKEW_MS}")
    for floor_ms, what in ((store.record_ms, "the last record"), (store.kept_ms, "the time that was believed last")):
        if machine_ms < floor_ms - SKEW_MS:
            return _doubted(before, f"got {floor_ms - machine_ms} ms before {what}, want {SKEW_MS}")
    jump_ms = machine_ms - before.expected(times.steady_ms)
    if jump_ms > SKEW_MS and not 0 < store.kept_ms >= machine_ms - NEAR_MS:
        is_the_same = before.jump_ms > 0 and abs(jump_ms - before.jump_ms) <= SKEW_MS
        since_ms = before.since_ms if is_the_same else times.steady_ms
        trial_ms = jump_ms // JUMP_OVER_TRIAL
        left_ms = (trial_ms if trial_max_ms is None else min(trial_ms, trial_max_ms)) - (times.steady_ms - since_ms)
        if left_ms > 0:
            doubt = f"got a jump ahead by {jump_ms} ms; it is believed if it lasts {left_ms} ms more"
            return replace(before, doubt=doubt, jump_ms=jump_ms, since_ms=since_ms)
    return Belief(machine_ms, times.steady_ms)


def time_to_keep(times: Times, belief: Belief) -> int:
    """Return the time that the store is to remember: it never falls, and no clock that is doubted carries it away."""
    known_ms = belief.expected(times.steady_ms)
    return max(times.store.kept_ms, min(known_ms, times.machine_ms, times.store.store_ms))


def head_time(record_ms: int, now_ms: int, kept_ms: int) -> int:
    """Return the newest time that the head of the chain is to have after a record of ``now_ms``.

    It does not rise above the time that was believed last and the skew: one login by a clock that is ahead must not stop all
    others when the clock is right again. Before any time was kept it rises as it comes.
    """
    return max(record_ms, min(now_ms, kept_ms + SKEW_MS) if kept_ms else now_ms)


def _doubted(before: Belief, doubt: str) -> Belief:
    return replace(before, doubt=doubt, jump_ms=0, since_ms=0)
