"""What stops logins is seen in /readyz and in the metrics, by name."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier
from tests.support.metrics import samples, value_of
from tests.support.proc import processes_of
from tests.support.waiting import wait_for
from tools.demo.forged import forged_chip


def _ready(live: LiveVerifier) -> tuple[int, dict[str, Any]]:
    reply = live.admin("/readyz")
    return reply.status_code, reply.json()


@pytest.mark.fault("a page of the SQLite file is overwritten", "503 with service.store; vab_ready 0")
def test_broken_pages_are_seen(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        live.attest()
        assert _ready(live)[1]["status"] == "ready"
        path = live.folder.path / "verifier.db"
        with closing(sqlite3.connect(path)) as connection:  # what was committed lies in the file itself
            wait_for(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))
        status, body = wait_for(lambda: found if (found := _ready(live))[0] == 503 else None)

        assert (status, body["check_id"]) == (503, "service.store")
        wait_for(lambda: value_of(live, "vab_ready") == 0)  # each process looks once a second
        seen("503 service.store")


@pytest.mark.fault(
    "the CRL of the only scheme in use expires", "503 with the scheme's id, and 200 once a good one lies there"
)
def test_an_expired_crl_is_seen(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        assert value_of(live, "vab_ready") == 1
        crl = live.folder.path / "endorsements" / "sev-snp" / "crl" / "Milan.der"
        good = crl.read_bytes()
        chip = forged_chip()
        crl.write_bytes(chip.crl(validity=(int(time.time()) - 7200, int(time.time()) - 3600)))
        status, body = wait_for(lambda: found if (found := _ready(live))[0] == 503 else None)

        assert (status, body["check_id"]) == (503, "sev-snp.endorsement.crl")
        assert body["troubles"] == [
            {"part": "scheme", "name": "sev-snp", "check_id": "sev-snp.endorsement.crl", "stops": True}
        ]
        labels = {"check_id": "sev-snp.endorsement.crl", "name": "sev-snp", "part": "scheme", "stops": "true"}
        wait_for(lambda: value_of(live, "vab_degraded", **labels) == 1)  # each process looks once a second
        crl.write_bytes(good)
        wait_for(lambda: _ready(live)[1]["status"] == "ready")
        seen("503 sev-snp.endorsement.crl, then ready")


@pytest.mark.fault("the worker hangs (SIGSTOP)", "200, degraded: service.worker; logins go on")
def test_a_worker_that_hangs_is_seen(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        (worker,) = wait_for(lambda: processes_of(live, "verifier-worker"))
        wait_for(lambda: value_of(live, "vab_worker_leads"))
        os.kill(worker, signal.SIGSTOP)
        body = wait_for(lambda: found[1] if (found := _ready(live))[1]["status"] == "degraded" else None)

        assert [one["check_id"] for one in body["troubles"]] == ["service.worker"]
        assert _ready(live)[0] == 200
        live.attest()
        os.kill(worker, signal.SIGCONT)
        wait_for(lambda: _ready(live)[1]["status"] == "ready")
        seen("200 degraded service.worker, then ready")


@pytest.mark.fault("web workers are killed one after the other", "no counter falls, and the files do not grow")
def test_dead_workers_leave_their_counts_and_no_files(tmp_path: Path, seen: Seen) -> None:
    folder = tmp_path / "metrics"
    with live_verifier(tmp_path, {"metrics_dir": str(folder), "workers": 1}) as live:
        logins = 0
        for _round in range(4):
            live.attest()
            logins += 1
            # It is counted once it left, which its reader may see first.
            wait_for(
                lambda want=logins: value_of(live, "vab_attestations_total", tenant="default", scheme="sev-snp") == want
            )
            (master,) = (
                pid
                for pid, parent in processes_of(live, "verifier-web").items()
                if parent == live.processes.pid(live.name)
            )
            (dead,) = (pid for pid, parent in processes_of(live, "verifier-web").items() if parent == master)
            os.kill(dead, signal.SIGKILL)
            wait_for(lambda gone=dead: not list(folder.glob(f"*_{gone}.db")))
            wait_for(live.folder.is_ready)
        assert value_of(live, "vab_attestations_total", tenant="default", scheme="sev-snp") == logins
        files = sorted(path.name for path in folder.glob("counter_*.db"))
        assert len(files) <= 4  # master, one web process, the worker, and all that died
        seen(f"{logins} logins counted, {len(files)} files of counters after 4 deaths")


@pytest.mark.fault("nothing", "every metric has the value that it should have")
def test_metrics_have_their_values(tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path) as live:
        live.attest()
        # Each process makes its own page, at most once a second.
        last_round = ("vab_worker_last_round_timestamp_seconds", ())
        found = wait_for(lambda: page if last_round in (page := samples(live)) else {})
        of: dict[str, float] = {}
        for (name, _labels), value in found.items():
            of[name] = max(value, of.get(name, 0.0))
        now = of["vab_worker_last_round_timestamp_seconds"]

        assert of["vab_ready"] == of["vab_worker_leads"] == of["vab_trust_info"] == 1
        assert of["vab_challenges_total"] == of["vab_attestations_total"] == 1
        assert found["vab_trust_documents", (("kind", "workloads"),)] >= 1
        for name in (
            "vab_next_key_rotation_timestamp_seconds",
            "vab_answer_keys_expire_timestamp_seconds",
            "vab_tls_certificate_expires_timestamp_seconds",
            "vab_document_expires_timestamp_seconds",
        ):
            assert of[name] > now, name
        assert of["vab_log_lines_lost_total"] == 0
        seen(f"{len(of)} series")
