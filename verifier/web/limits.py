"""Rate limits, in the memory of each process, before anything else is done for a caller (docs/operations.md)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from verifier.formats.errors import CannotDecide

_MAX_SOURCES = 50_000


class RateLimit:
    """A token bucket per source address: ``per_minute`` requests a minute, bursts of as many. Times are milliseconds."""

    def __init__(self, per_minute: int) -> None:
        self._capacity = float(per_minute)
        self._per_ms = per_minute / 60_000
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, source: str, now_ms: int) -> int:
        """Take one token; returns 0, or the seconds after which to try again."""
        with self._lock:
            level, then = self._buckets.pop(source, (self._capacity, now_ms))
            level = min(self._capacity, level + max(0, now_ms - then) * self._per_ms)
            admitted = level >= 1
            self._buckets[source] = (level - 1 if admitted else level, now_ms)
            if len(self._buckets) > _MAX_SOURCES:
                # The least recently seen go first: forgetting one only refills its bucket.
                self._buckets.popitem(last=False)
        return 0 if admitted else max(1, int((1 - level) / self._per_ms / 1000) + 1)


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
            if now_ms - last < self._period_ms:
                self._seen[key] = (last, held + 1)
                return None
            self._seen[key] = (now_ms, 0)
            return held


class Readiness:
    """Asks a probe that writes at most once a second, however many callers ask: a probe needs no account."""

    def __init__(self, probe: Callable[[], None], period_ms: int = 1000) -> None:
        self._probe = probe
        self._period_ms = period_ms
        self._asked_ms: int | None = None
        self._failure: CannotDecide | None = None
        self._lock = threading.Lock()

    def require(self, now_ms: int) -> None:
        """Return where the last probe held; raise its ``CannotDecide`` anew where it did not."""
        with self._lock:
            # A clock that went back asks again, too.
            if self._asked_ms is None or not 0 <= now_ms - self._asked_ms < self._period_ms:
                self._failure = None
                try:
                    self._probe()
                except CannotDecide as error:
                    self._failure = error
                self._asked_ms = now_ms
            failure = self._failure
        if failure is not None:
            raise CannotDecide(failure.check_id, failure.detail, retry_after=failure.retry_after)
