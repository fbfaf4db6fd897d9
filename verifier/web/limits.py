"""Rate limits, in the memory of each process, before anything else is done for a caller, by the library ``limits``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import ceil
from typing import Final, NoReturn

from cachetools import LRUCache
from limits import RateLimitItemPerMinute
from limits.storage import MovingWindowSupport, Storage
from limits.strategies import MovingWindowRateLimiter

from verifier.service.readiness import Report

_MAX_SOURCES: Final = 50_000


class _Buckets(Storage, MovingWindowSupport):
    """A storage of ``limits`` for its moving window: one bucket a source, in place of a list of the source's requests.

    A bucket holds how many requests count against the limit, and runs out evenly. At most 50,000 are kept; the least recently used
    goes first, and a source that is forgotten has its whole limit again. ``limits`` hands no time to a storage, so the caller sets
    ``now_ms`` before each question, and lets one thread in at a time. docs/adr/0012-rate-limits.md says why ``limits``' own
    memory does not do.
    """

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self._buckets: LRUCache[str, tuple[float, int]] = LRUCache(_MAX_SOURCES)

    def _level(self, key: str, limit: int, expiry: int) -> float:
        level, then = self._buckets.get(key, (0.0, self.now_ms))
        return max(0.0, level - max(0, self.now_ms - then) * limit / (expiry * 1000))

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a request unless the limit is reached."""
        level = self._level(key, limit, expiry)
        is_admitted = level + amount <= limit
        self._buckets[key] = (level + amount if is_admitted else level, self.now_ms)
        return is_admitted

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """Return the start of the window at whose end one more request is admitted, and how many requests count now."""
        level = self._level(key, limit, expiry)
        return self.now_ms / 1000 + (level + 1 - limit) * expiry / limit - expiry, ceil(level)

    def clear(self, key: str) -> None:
        """Forget a source."""
        self._buckets.pop(key, None)

    def reset(self) -> None:
        """Forget every source."""
        self._buckets.clear()

    def check(self) -> bool:
        """Tell that the storage can be reached."""
        return True

    def _no_counter(self, *_: object, **__: object) -> NoReturn:
        raise NotImplementedError("buckets serve the moving window alone")

    incr = get = get_expiry = _no_counter


class RateLimit:
    """``per_minute`` requests a minute for each source address, and bursts of as many. Times are milliseconds."""

    def __init__(self, per_minute: int) -> None:
        self._limit = RateLimitItemPerMinute(per_minute)
        self._buckets = _Buckets()
        self._limiter = MovingWindowRateLimiter(self._buckets)
        self._lock = threading.Lock()

    def admit(self, source: str, now_ms: int) -> int:
        """Count a request; returns 0, or the seconds after which to try again."""
        with self._lock:
            self._buckets.now_ms = now_ms
            if self._limiter.hit(self._limit, source):
                return 0
            return int(self._limiter.get_window_stats(self._limit, source).reset_time - now_ms / 1000) + 1


class Sampler:
    """Lets one log line a second through per key, and says how many were held back."""

    def __init__(self, period_ms: int = 1000) -> None:
        self._period_ms = period_ms
        self._seen: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def admit(self, key: str, now_ms: int) -> int | None:
        """Return how many lines were held back since the last one, or ``None`` to hold this one back too."""
        with self._lock:
            last, held = self._seen.get(key, (-self._period_ms, 0))
            if 0 <= now_ms - last < self._period_ms:  # a clock that was put back silences nobody
                self._seen[key] = (last, held + 1)
                return None
            self._seen[key] = (now_ms, 0)
            return held


class Readiness:
    """Asks a probe that writes at most once a second, however many callers ask: a probe needs no account."""

    def __init__(self, probe: Callable[[], Report], period_ms: int = 1000) -> None:
        self._probe = probe
        self._period_ms = period_ms
        self._asked_ms: int | None = None
        self._report: Report | None = None
        self._lock = threading.Lock()

    def report(self, now_ms: int) -> Report:
        """Return what the last probe found."""
        with self._lock:
            # A clock that went back asks again, too.
            if self._report is None or self._asked_ms is None or not 0 <= now_ms - self._asked_ms < self._period_ms:
                self._report = self._probe()
                self._asked_ms = now_ms
            return self._report
