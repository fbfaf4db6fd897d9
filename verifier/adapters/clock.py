"""The machine's clocks: the only place of the verifier that reads the time of day."""

from __future__ import annotations

import time


class SystemClock:
    """``SteadyClock`` of ``verifier.core.ports``: the wall clock, which may jump, and the machine's time since its start."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def steady_ms(self) -> int:
        """Return milliseconds that nobody sets. A sleep of the machine counts: after it the wall clock has not jumped."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
