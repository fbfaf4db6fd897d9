"""Strangers that hold connections and say nothing: no login may wait for them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from attester.flow import attest_once, verifier_client
from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier
from tests.support.strangers import held
from verifier.formats.errors import BridgeError

STRANGERS, LOGINS = 256, 200
_HOPELESS_S = 25.0  # for all logins of a round; without strangers they take a few seconds


def _logins(live: LiveVerifier) -> tuple[list[float], int]:
    """Log in one after the other; returns how long each took, in order of length, and how many failed."""
    trust, took, failed = live.trust(), [], 0
    ends = time.monotonic() + _HOPELESS_S
    client = verifier_client(trust, lambda: ends - time.monotonic())
    for _ in range(LOGINS):
        began = time.monotonic()
        if began > ends:
            failed += LOGINS - failed - len(took)
            break
        try:
            attest_once(client, trust, live.provider, lambda: int(time.time()))
            took.append(time.monotonic() - began)
        except BridgeError:
            failed += 1
    return sorted(took), failed


def _p99(took: list[float]) -> float:
    return took[int(len(took) * 0.99) - 1] if took else float("inf")


@pytest.mark.fault(f"{STRANGERS} silent connections are held", "logins go on, p99 at most 2 x that without")
def test_logins_do_not_wait_for_silent_connections(tmp_path: Path, seen: Seen) -> None:
    """A quarter each: no hello, no request, half a header, half a body. The quiet p99 is the larger of before and after."""
    with live_verifier(tmp_path) as live:
        _logins(live)  # everything is loaded
        before, failed_before = _logins(live)
        with held(live.folder.port, STRANGERS) as still_open:
            beside, failed = _logins(live)
            left = still_open()
        after, failed_after = _logins(live)
        quiet = max(_p99(before), _p99(after))
        seen(
            f"{len(beside)} of {LOGINS} logins beside {STRANGERS} strangers ({left} still open at the end), "
            f"p99 {_p99(beside) * 1000:.0f} ms against {quiet * 1000:.0f} ms"
        )
    assert (failed_before, failed_after) == (0, 0)
    assert failed == 0
    assert _p99(beside) <= 2 * quiet
