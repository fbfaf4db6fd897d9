"""What is tried again, and for how long.

Only what may pass: ``CannotDecide``, after the time that the server asked for, and a challenge that was spent or grew old.
Everything else is an answer. Source: docs/attester.md, "What is checked of an answer".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, stop_before_delay

from verifier.core.ids import ServiceId
from verifier.formats.errors import BridgeError, CannotDecide

T = TypeVar("T")

TRIES = 6
# A challenge that somebody else's restart, a slow TPM or a lost answer used up: the way out is a new one.
_NEW_CHALLENGE = frozenset({ServiceId.NONCE_SPENT, ServiceId.NONCE_EXPIRED, ServiceId.NONCE_EPOCH})
# A device of this machine that does not answer has been asked often enough by its provider.
_LOCAL = ("attester.provider.", "attester.tpm2.", "attester.configfs.")


def _may_pass(error: BaseException) -> bool:
    if not isinstance(error, BridgeError):
        return False
    if isinstance(error, CannotDecide):
        return not error.check_id.startswith(_LOCAL)
    return error.check_id in _NEW_CHALLENGE


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    wanted = error.retry_after if isinstance(error, CannotDecide) else 0
    # At least a little longer each time, whatever the server asks for.
    return float(max(wanted, 0.2 * state.attempt_number))


def patiently(step: Callable[[], T], *, wait_s: float) -> T:
    """Repeat a step while it may pass: at most ``TRIES`` times, and never beyond ``wait_s`` seconds. The last no is raised."""
    retrying = Retrying(
        retry=retry_if_exception(_may_pass),
        wait=_wait,
        stop=stop_after_attempt(TRIES) | stop_before_delay(wait_s),
        reraise=True,
    )
    return retrying(step)
