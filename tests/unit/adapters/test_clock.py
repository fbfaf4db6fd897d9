"""The machine's clock in milliseconds."""

from __future__ import annotations

import time

from verifier.adapters.clock import SystemClock


def test_the_clock_tells_milliseconds() -> None:
    before = time.time()
    seen = SystemClock().now_ms()
    assert before * 1000 - 1 <= seen <= time.time() * 1000 + 1
