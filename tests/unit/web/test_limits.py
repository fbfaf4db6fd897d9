"""Rate limit and log sampling, by an explicit clock."""

from __future__ import annotations

import pytest
from limits.strategies import FixedWindowRateLimiter

from verifier.service.readiness import Report, Trouble
from verifier.web.limits import RateLimit, Readiness, Sampler


def test_a_burst_of_the_capacity_is_admitted_and_the_next_one_is_told_when() -> None:
    limit = RateLimit(60)
    assert [limit.admit("a", 0) for _ in range(60)] == [0] * 60

    assert limit.admit("a", 0) >= 1


def test_tokens_come_back_with_time_and_never_beyond_the_capacity() -> None:
    limit = RateLimit(60)
    for _ in range(60):
        limit.admit("a", 0)

    assert limit.admit("a", 999) > 0
    assert limit.admit("a", 2_000) == 0
    assert sum(limit.admit("a", 10_000_000) == 0 for _ in range(100)) == 60


def test_one_source_does_not_use_up_another_s_share() -> None:
    limit = RateLimit(1)
    assert limit.admit("a", 0) == 0
    assert limit.admit("a", 0) > 0

    assert limit.admit("b", 0) == 0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    limit = RateLimit(1)
    assert limit.admit("a", 1_000_000) == 0

    assert limit.admit("a", 0) > 0


@pytest.mark.parametrize("per_minute", [1, 7, 60, 600, 1_000])
def test_who_waits_as_told_is_admitted_and_who_asks_meanwhile_waits_no_longer_for_it(per_minute: int) -> None:
    limit, now_ms = RateLimit(per_minute), 1_795_000_000_000
    while not (wait := limit.admit("a", now_ms)):
        now_ms += 1
    assert 1 <= wait <= 60 // per_minute + 1
    for _ in range(100):
        assert limit.admit("a", now_ms) == wait

    assert limit.admit("a", now_ms + 1000 * wait) == 0


def test_a_minute_admits_no_more_than_a_burst_and_what_ran_out_meanwhile() -> None:
    limit = RateLimit(600)
    assert sum(limit.admit("a", now_ms) == 0 for now_ms in range(0, 60_000, 10)) in (1_199, 1_200)


def test_no_more_than_50_000_sources_are_kept_and_the_least_recently_seen_is_forgotten() -> None:
    limit = RateLimit(1)
    for number in range(50_000):
        assert limit.admit(f"source {number}", 0) == 0
    assert limit.admit("source 0", 0) > 0  # seen again, so it outlasts the next

    assert limit.admit("one more", 0) == 0
    assert limit.admit("source 0", 0) > 0
    assert limit.admit("source 2", 0) > 0
    assert limit.admit("source 1", 0) == 0


def test_the_storage_serves_the_moving_window_alone() -> None:
    limit = RateLimit(1)
    assert (limit.admit("a", 0), limit.admit("a", 0)) == (0, 61)
    limit._limiter.clear(limit._limit, "a")
    assert limit._limiter.test(limit._limit, "a")
    assert limit.admit("a", 0) == 0
    limit._buckets.reset()
    assert limit.admit("a", 0) == 0
    assert limit._buckets.check()
    with pytest.raises(NotImplementedError):
        FixedWindowRateLimiter(limit._buckets).hit(limit._limit, "a")


def test_sampler_lets_one_a_second_through_and_counts_the_rest() -> None:
    sampler = Sampler()
    assert sampler.admit("x", 0) == 0
    assert [sampler.admit("x", 10), sampler.admit("x", 999)] == [None, None]

    assert sampler.admit("x", 1000) == 2
    assert sampler.admit("y", 10) == 0


def test_a_clock_that_went_back_holds_no_line_back() -> None:
    sampler = Sampler()

    assert (sampler.admit("x", 10_000), sampler.admit("x", 500)) == (0, 0)


def test_readiness_is_probed_once_a_second_whoever_asks() -> None:
    asked: list[int] = []

    def probe() -> Report:
        asked.append(1)
        return Report()

    readiness = Readiness(probe)
    for now_ms in (0, 1, 999, 1_000, 1_999, 500):  # the last one: the clock went back
        readiness.report(now_ms)

    assert len(asked) == 3


def test_what_the_probe_said_is_told_to_everybody_until_the_next_one() -> None:
    away = Trouble("store", "", "service.store", "away", stops=True, retry_after=7)
    reports = [Report((away,), away), Report()]
    readiness = Readiness(lambda: reports.pop(0))

    assert [readiness.report(now_ms).failure for now_ms in (0, 500, 1_000)] == [away, away, None]
    assert not reports
