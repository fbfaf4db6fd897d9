"""The machine's clock: the only place of the verifier that reads it."""

from __future__ import annotations

import time


class SystemClock:
    """``Clock`` of ``verifier.core.ports`` over the machine's wall clock (which may jump; the store compares it with its own)."""

    def now_ms(self) -> int:
        """Return Unix time in milliseconds."""
        return time.time_ns() // 1_000_000
