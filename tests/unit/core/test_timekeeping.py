"""When the time is believed: jumps, clocks that disagree, times that the store remembers."""

from __future__ import annotations

import pytest

from verifier.core.settings import SKEW_MS
from verifier.core.timekeeping import (
    LOGIN_TRIAL_MAX_MS,
    Belief,
    StoreTimes,
    Times,
    head_time,
    judge,
    remembered,
    time_to_keep,
)

T = 1_800_000_000_000
SECOND, MINUTE, DAY = 1_000, 60_000, 86_400_000


def times(
    machine_ms: int, steady_ms: int, *, store_ms: int | None = None, record_ms: int = 0, kept_ms: int = 0
) -> Times:
    """On SQLite the store's clock is the machine's own."""
    return Times(machine_ms, steady_ms, StoreTimes(machine_ms if store_ms is None else store_ms, record_ms, kept_ms))


def test_time_that_passes_is_believed() -> None:
    belief = Belief(T, 0)
    for steady_ms in range(0, MINUTE, 5 * SECOND):
        belief = judge(times(T + steady_ms + 300, steady_ms, kept_ms=T), belief)
        assert (belief.doubt, belief.time_ms) == ("", T + steady_ms + 300)


@pytest.mark.parametrize("jump_ms", [10 * MINUTE, DAY, 40 * DAY])
def test_a_jump_ahead_is_believed_after_a_tenth_of_its_size_and_at_once_when_it_goes_back(jump_ms: int) -> None:
    first = judge(times(T + jump_ms, 0, kept_ms=T), Belief(T, 0))
    assert "jump ahead" in first.doubt
    trial_ms = jump_ms // 10
    assert judge(times(T + jump_ms + trial_ms - 1, trial_ms - 1, kept_ms=T), first).doubt
    assert judge(times(T + jump_ms + trial_ms, trial_ms, kept_ms=T), first).time_ms == T + jump_ms + trial_ms
    assert not judge(times(T + trial_ms - 1, trial_ms - 1, kept_ms=T), first).doubt


def test_a_second_jump_is_on_trial_from_its_own_beginning() -> None:
    first = judge(times(T + DAY, 0, kept_ms=T), Belief(T, 0))
    second = judge(times(T + 2 * DAY, DAY // 10, kept_ms=T), first)
    assert second.since_ms == DAY // 10
    assert second.doubt


def test_logins_are_held_up_for_a_bounded_time() -> None:
    first = judge(times(T + 40 * DAY, 0, kept_ms=T), Belief(T, 0), LOGIN_TRIAL_MAX_MS)
    after_ms = LOGIN_TRIAL_MAX_MS
    assert judge(times(T + 40 * DAY + after_ms - 1, after_ms - 1, kept_ms=T), first, LOGIN_TRIAL_MAX_MS).doubt
    assert not judge(times(T + 40 * DAY + after_ms, after_ms, kept_ms=T), first, LOGIN_TRIAL_MAX_MS).doubt


def test_a_process_that_began_with_a_clock_that_was_behind_believes_the_time_that_others_kept() -> None:
    assert judge(times(T + DAY, 0, kept_ms=T + DAY - 5 * SECOND), Belief(T, 0)).doubt == ""


@pytest.mark.parametrize(
    ("given", "doubt"),
    [
        (times(T, 0, store_ms=T + SKEW_MS + 1), "off the store's clock"),
        (times(T, 0, store_ms=T - SKEW_MS - 1), "off the store's clock"),
        (times(T, 0, record_ms=T + SKEW_MS + 1), "before the last record"),
        (times(T, 0, kept_ms=T + SKEW_MS + 1), "before the time that was believed last"),
    ],
)
def test_a_clock_that_a_witness_contradicts_is_doubted(given: Times, doubt: str) -> None:
    belief = judge(given, Belief(T, 0))
    assert doubt in belief.doubt
    assert time_to_keep(given, belief) == max(given.store.kept_ms, min(T, given.store.store_ms))


@pytest.mark.parametrize(("machine_ms", "kept"), [(T + 40 * DAY, T + MINUTE), (T - DAY, T), (T + MINUTE, T + MINUTE)])
def test_the_time_that_is_kept_goes_on_as_if_no_clock_had_jumped_and_never_falls(machine_ms: int, kept: int) -> None:
    given = times(machine_ms, MINUTE, kept_ms=T)
    assert time_to_keep(given, judge(given, Belief(T, 0))) == kept


def test_a_start_goes_by_what_the_store_remembers() -> None:
    assert remembered(times(T + DAY, 7, kept_ms=T, record_ms=T - 5)) == Belief(T, 7)
    assert remembered(times(T + DAY, 7, record_ms=T - 5)) == Belief(T - 5, 7)  # a store of a build that kept no time
    assert remembered(times(T + DAY, 7)) == Belief(T + DAY, 7)


def test_one_login_does_not_carry_the_chains_time_away() -> None:
    assert head_time(T - 9, T, kept_ms=T - 3) == T
    assert head_time(T - 9, T + 40 * DAY, kept_ms=T) == T + SKEW_MS
    assert head_time(T, T - 9, kept_ms=T) == T
    assert head_time(0, T, kept_ms=0) == T
