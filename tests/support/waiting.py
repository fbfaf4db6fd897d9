"""Waiting for what another thread or process does, and how a cost grows: no test states how long something may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_HOPELESS_S = 60.0


def wait_for(look: Callable[[], T]) -> T:
    """Return what ``look`` returns as soon as it is true. After a minute it is hopeless: no expectation, only an end."""
    end = time.monotonic() + _HOPELESS_S
    while not (found := look()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)
    return found


def assert_linear(run: Callable[[int], object], size: int) -> None:
    """Fail where eight times the input costs far more than eight times the processor's time: quadratic cost is 64 times.

    Both are measured in this process, best of three: what the machine is and what else it does cancels out.
    """

    def cost(of: int) -> float:
        began = time.process_time()
        run(of)
        return time.process_time() - began

    small, large = (min(cost(of) for _ in range(3)) for of in (size, 8 * size))
    assert large < 30 * max(small, 0.001), f"{size}: {small:.4f} s, {8 * size}: {large:.4f} s"
