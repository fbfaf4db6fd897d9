"""What is tried again: never before the time that was asked for, never beyond the bound, and a fleet not all at once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from attester.patience import FIRST_S, MOST_S, Patience, pause
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected, MalformedEvidence

BUSY = CannotDecide("service.busy", "busy", retry_after=0)


class Clock:
    """A clock that a sleep turns; ``naps`` are the sleeps."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.naps: list[float] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Turn the clock."""
        self.naps.append(seconds)
        self.now += seconds

    def patience(self, wait_s: float, seed: int = 1) -> Patience:
        """Return a patience that lives by this clock."""
        draw = random.Random(seed).random  # noqa: S311 - for a test
        return Patience(wait_s, clock=self, sleep=self.sleep, draw=draw)


def failing(error: BridgeError, times: int) -> Callable[[], str]:
    """Return a step that raises an error some times, and then gives "done"."""
    left = [error] * times

    def step() -> str:
        if left:
            raise left.pop()
        return "done"

    return step


def test_full_jitter_doubles_its_reach_up_to_a_limit() -> None:
    reaches = [pause(attempt, 0, 1e6, lambda: 1.0) for attempt in range(1, 12)]

    assert reaches[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert reaches[-1] == MOST_S
    assert {pause(attempt, 0, 1e6, lambda: 0.0) for attempt in range(1, 12)} == {0.0}
    assert pause(10**9, 0, 1e6, lambda: 1.0) == MOST_S


@pytest.mark.parametrize("wanted", [0.0, 1.0, 5.0, 60.0])
@pytest.mark.parametrize("left", [0.5, 10.0, 90.0])
def test_a_wait_is_never_shorter_than_asked_for_nor_longer_than_what_is_left(wanted: float, left: float) -> None:
    for attempt in range(1, 9):
        for drawn in (0.0, 0.5, 1.0):
            wait = pause(attempt, wanted, left, lambda drawn=drawn: drawn)  # type: ignore[misc]
            if wanted >= left:
                assert wait is None
            else:
                assert wait is not None
                assert wanted <= wait <= left


def test_only_the_bound_ends_it_and_no_number_of_tries() -> None:
    clock = Clock()
    with pytest.raises(CannotDecide) as caught:
        clock.patience(90).repeat(failing(BUSY, 10**6))

    assert caught.value is BUSY
    assert clock.now == pytest.approx(1_090.0, abs=MOST_S)
    assert clock.now <= 1_090.0
    assert len(clock.naps) > 6


def test_a_server_that_comes_back_within_the_bound_is_reached() -> None:
    clock = Clock()

    def step() -> str:
        if clock.now < 1_060:
            raise BUSY
        return "done"

    assert clock.patience(90).repeat(step) == "done"


def test_retry_after_is_kept_and_what_ends_beyond_the_bound_is_not_waited_for() -> None:
    clock = Clock()
    assert clock.patience(90).repeat(failing(CannotDecide("service.busy", "", retry_after=7), 3)) == "done"
    assert all(nap >= 7 for nap in clock.naps)

    clock = Clock()
    with pytest.raises(CannotDecide):
        clock.patience(30).repeat(failing(CannotDecide("service.busy", "", retry_after=60), 1))
    assert clock.naps == []


@pytest.mark.parametrize(
    "error",
    [
        EvidenceRejected("policy.refused", ""),
        MalformedEvidence("wire.jws", ""),
        EvidenceRejected("attester.vault.login", ""),
        CannotDecide("attester.tpm2.device", ""),
        CannotDecide("attester.output.write", ""),
    ],
)
def test_a_verdict_and_this_machines_own_troubles_are_final(error: BridgeError) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        clock.patience(90).repeat(failing(error, 1))
    assert clock.naps == []


@pytest.mark.parametrize("check_id", ["service.nonce.spent", "service.nonce.expired", "service.nonce.epoch"])
def test_a_challenge_that_is_used_up_is_asked_for_again(check_id: str) -> None:
    assert Clock().patience(90).repeat(failing(EvidenceRejected(check_id, ""), 2)) == "done"


def test_no_patience_is_one_try() -> None:
    assert Clock().patience(0).repeat(failing(BUSY, 0)) == "done"
    with pytest.raises(CannotDecide):
        Clock().patience(0).repeat(failing(BUSY, 1))


def test_a_part_ends_with_the_whole() -> None:
    clock = Clock()
    whole = clock.patience(30)
    assert whole.within(60).left() == 30
    part = whole.within(10)
    clock.now += 12
    assert (part.left(), whole.left()) == (0, 18)


def test_a_fleet_that_is_told_the_same_wait_spreads_and_all_come_in() -> None:
    """1,000 attesters boot at once; the verifier answers 40 a second and tells all others 503 with Retry-After: 2.

    A plain "wait as told" would bring the whole fleet back in the same tenth of a second, over and over.
    """
    fleet, a_second, bound, asked = 1_000, 40, 90.0, 2.0
    draw = random.Random(9).random  # noqa: S311 - for a test
    coming = [(0.0, number, 1) for number in range(fleet)]
    served: Counter[int] = Counter()
    crowd: Counter[int] = Counter()
    gave_up = 0
    while coming:
        coming.sort(reverse=True)
        now, number, attempt = coming.pop()
        crowd[int(now * 10)] += 1
        if served[int(now)] < a_second:
            served[int(now)] += 1
            continue
        wait = pause(attempt, asked, bound - now, draw)
        if wait is None:
            gave_up += 1
        else:
            coming.append((now + wait, number, attempt + 1))

    assert gave_up == 0
    assert sum(served.values()) == fleet
    assert max(count for tenth, count in crowd.items() if tenth) < fleet / 8, "nobody comes back with the crowd"
