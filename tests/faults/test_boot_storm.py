"""A whole site boots at once, after a power cut: every machine asks the verifier in the same moment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.faults.conftest import Seen
from tests.support.fleet import boot
from tests.support.live import live_verifier

FLEET = int(os.environ.get("VAB_TEST_FLEET", "1000"))


@pytest.mark.fault(
    f"{FLEET} machines boot at once, each with its own TLS connections", "all have a token, none gives up"
)
def test_a_fleet_that_boots_at_once_has_its_tokens(tmp_path: Path, seen: Seen) -> None:
    """The rate limit is out of the way: behind one address of a load balancer all of them are one client."""
    with live_verifier(tmp_path) as live:
        live.attest()
        told = boot(live.trust(), FLEET, tmp_path)
        seen(
            f"{told.tokens} tokens, {sum(told.gave_up.values())} gave up {told.gave_up or ''}, {told.tries} tries, "
            f"median {told.median_s:.1f} s, last after {told.slowest_s:.1f} s"
        )
        recorded = live.records()
    assert told.gave_up == {}
    assert told.tokens == FLEET
    assert len(recorded) >= FLEET + 1, "no token without its record"
