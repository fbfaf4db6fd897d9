"""Core dumps: no process that holds keys leaves its memory behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.faults.conftest import Seen
from tests.support.live import live_verifier
from tests.support.proc import processes_of
from tests.support.waiting import wait_for


@pytest.mark.fault(
    "a process that holds keys crashes (SIGSEGV)", "no core dump: limit 0 for every process; logins go on"
)
def test_no_process_may_dump_core(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path, {"workers": 2}) as live:
        (worker,) = wait_for(lambda: processes_of(live, "verifier-worker"))
        processes = {*processes_of(live, "verifier-web"), worker, live.processes.pid(live.name)}
        limits = {
            line.split()[4:6] == ["0", "0"]
            for pid in processes
            for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
            if line.startswith("Max core file size")
        }
        assert limits == {True}
        os.kill(worker, signal.SIGSEGV)
        wait_for(lambda: set(processes_of(live, "verifier-worker")) - {worker})
        live.attest()
        left = [path.name for path in (*tmp_path.rglob("core*"), *Path.cwd().glob("core*")) if path.is_file()]
        assert left == []
        seen(f"limit 0 for {len(processes)} processes; the worker was replaced")
