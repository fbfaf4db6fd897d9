"""What is tried again, when, and until when.

Only what may pass: ``CannotDecide``, and a challenge that was spent or grew old. Everything else is an answer. One bound
holds for a whole command (``--wait``), whatever it does in between. Clock, sleep and randomness are arguments.
Source: docs/attester.md, "What is tried again".
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from verifier.core.ids import ServiceId
from verifier.formats.errors import BridgeError, CannotDecide

T = TypeVar("T")

FIRST_S = 0.5  # the reach of the first wait
MOST_S = 15.0  # the reach of no wait is longer, unless the server asks for a longer wait
_DOUBLINGS = 10  # more than MOST_S takes
# A challenge that somebody else's restart, a slow TPM or a lost answer used up: the way out is a new one.
_NEW_CHALLENGE = frozenset({ServiceId.NONCE_SPENT, ServiceId.NONCE_EXPIRED, ServiceId.NONCE_EPOCH})
_RANDOM = random.SystemRandom()
# A device of this machine that does not answer has been asked often enough by its provider; a full disk stays full.
_LOCAL = ("attester.provider.", "attester.tpm2.", "attester.configfs.", "attester.output.")


def may_pass(error: BridgeError) -> bool:
    """Tell whether a no may become a yes by waiting."""
    if isinstance(error, CannotDecide):
        return not error.check_id.startswith(_LOCAL)
    return error.check_id in _NEW_CHALLENGE


def pause(attempt: int, wanted: float, left: float, draw: Callable[[], float]) -> float | None:
    """Return how long to wait after the ``attempt``-th try (from 1), or ``None`` where no time is left for another.

    ``wanted``: what the server asked for (Retry-After), 0 for nothing. ``left``: what is left of the bound. All in seconds.
    Never shorter than what was asked for. On top comes full jitter: anything up to a reach that doubles with every try. The
    reach is at least as wide as the wait that was asked for: a fleet that is told "in 5 s" at once comes back over 5 s more,
    and not all at once. ``draw`` gives a number from 0 to 1.
    """
    if wanted >= left:
        return None
    reach = max(wanted, min(MOST_S, FIRST_S * 2.0 ** min(attempt - 1, _DOUBLINGS)))
    return wanted + draw() * min(reach, left - wanted)


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


class Patience:
    """How long is left, and the repeating of a step until then."""

    def __init__(
        self,
        wait_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = _sleep,
        draw: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self._clock, self._sleep, self._draw = clock, sleep, draw
        self._ends = clock() + wait_s

    def left(self) -> float:
        """Return the seconds that are left, never below 0."""
        return max(0.0, self._ends - self._clock())

    def within(self, wait_s: float) -> Patience:
        """Return the patience for a part of the way: ``wait_s`` seconds from now, and never beyond the whole's end."""
        wait_s = min(wait_s, self.left())
        return Patience(wait_s, clock=self._clock, sleep=self._sleep, draw=self._draw)

    def repeat(self, step: Callable[[], T]) -> T:
        """Repeat a step while its no may pass and time is left. The last no is raised."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return step()
            except BridgeError as error:
                wanted = float(error.retry_after) if isinstance(error, CannotDecide) else 0.0
                wait = pause(attempt, wanted, self.left(), self._draw) if may_pass(error) else None
                if wait is None:
                    raise
            self._sleep(wait)
