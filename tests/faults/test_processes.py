"""Processes of one `verifier serve` that die."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Seen
from tests.support.live import live_verifier
from tests.support.proc import processes_of
from tests.support.waiting import wait_for


@pytest.mark.fault("verifier-worker is killed", "another takes its place; logins go on")
def test_a_killed_worker_is_replaced(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        (dead,) = wait_for(lambda: processes_of(live, "verifier-worker"))
        os.kill(dead, signal.SIGKILL)
        live.attest()
        wait_for(lambda: set(processes_of(live, "verifier-worker")) - {dead})
        live.attest()
        seen("replaced, 2 of 2 logins")
