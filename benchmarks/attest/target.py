"""A verifier that is served for measuring, and requests that it accepts."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from attester.flow import bind, request_body
from attester.keys import RequestKeys
from attester.settings import Trust
from benchmarks.builds import Build
from benchmarks.measure import pinned
from tools.demo.forged import ForgedProvider, forged_documents, lay_forged
from tools.demo.processes import Processes
from tools.demo.stack import VERIFIER, VerifierFolder, lay_verifier
from tools.demo.trust import VaultPlace, write_documents

CLIENTS = 8


@dataclass(frozen=True, slots=True)
class Target:
    """A verifier that is served, and which workloads its requests name. ``pid``: of the process that its others come from."""

    folder: VerifierFolder
    place: VaultPlace
    names: tuple[str, ...]
    scratch: Path
    pid: int

    def trust(self, workload: str) -> Trust:
        """Return what an attester of a workload would be configured with."""
        return Trust(
            url=self.folder.base_url, ca="", issuer=self.folder.issuer(), root={}, root_lowest_seq=1, tenant="default",
            workload=workload, audience=self.place.audience,
        )  # fmt: skip

    def send(self, core: int, path: str, media_type: str, bodies: Sequence[str]) -> tuple[float, list[str]]:
        """Send every body once from ``CLIENTS`` connections; returns seconds and what was answered. A no ends the program."""
        job = {"port": self.folder.port, "path": path, "media_type": media_type, "bodies": bodies, "clients": CLIENTS}
        file = self.scratch / "job.json"
        file.write_text(json.dumps(job), encoding="utf-8")
        answer = json.loads(pinned(core, [sys.executable, "-m", "benchmarks.attest.load", str(file)]))
        if answer["good"] != len(bodies):
            raise SystemExit(f"{path}: {len(bodies) - answer['good']} of {len(bodies)} requests were refused")
        return float(answer["seconds"]), answer["answers"]


def signed_request(provider: ForgedProvider, trust: Trust, nonce: bytes) -> str:
    """Forge evidence for a nonce and sign the request, as the simulated attester does."""
    keys = RequestKeys.fresh()
    return request_body(trust, keys, nonce, provider.collect(bind(trust, keys, nonce))).decode()


@contextmanager
def served(
    folder: Path,
    processes: Processes,
    name: str,
    core: int,
    count: int,
    build: Build | None = None,
) -> Iterator[Target]:
    """Serve a verifier with ``count`` workloads over plain HTTP on the loopback, one gunicorn worker on one core."""
    settings = {
        "workers": 1, "threads": CLIENTS, "run_worker": False, "rate_per_minute": 1_000_000_000, "log_level": "warning",
        "behind_tls_proxy": True, "tls_certificate": "", "tls_key": "",
    }  # fmt: skip
    verifier = build.command("verifier") if build is not None else VERIFIER
    has_admin = build is None or build.has_admin
    laid = lay_verifier(folder, simulated=True, settings=settings, verifier=verifier, has_admin=has_admin)
    lay_forged(laid)
    place = VaultPlace("https://127.0.0.1:1", laid.ca_file.read_text(encoding="ascii"), "attestation-default", "bench")
    names = tuple(f"w{index}" for index in range(count))
    write_documents(laid.path / "trust" / "bench.yaml", forged_documents(place, *names))
    process = processes.start(name, [*verifier, "serve", "--config", str(laid.settings_file)])
    os.sched_setaffinity(process.pid, {core})
    processes.wait_for(name, lambda: is_ready(laid.admin_port), within_s=300)
    try:
        yield Target(laid, place, names, folder, process.pid)
    finally:
        processes.stop(name)


def is_ready(port: int) -> bool:
    """Ask a verifier without TLS whether it can issue tokens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()
