"""A live verifier for tests: laid out and served as `verifier serve` does it, with a forged AMD, in a process of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from attester.answer import Opened
from attester.flow import attest_once, verifier_client
from attester.https import Reply
from attester.settings import Trust
from tests.support.forged import ForgedMachine
from tests.support.machine_trust import documents_of
from tools.demo.adversaries import Request, prepare, send
from tools.demo.forged import FORGED_WORKLOAD, ForgedProvider, forged_documents, lay_forged
from tools.demo.processes import Processes
from tools.demo.stack import VerifierFolder, lay_verifier, serve
from tools.demo.trust import VaultPlace, workload, write_documents

FAST: Mapping[str, Any] = {"rate_per_minute": 100_000_000, "log_level": "info"}


@dataclass
class LiveVerifier:
    """A simulated verifier in a folder, and how to talk to it."""

    folder: VerifierFolder
    processes: Processes
    place: VaultPlace
    name: str = "verifier"
    provider: ForgedProvider = field(default_factory=ForgedProvider)

    def trust(self, workload: str = FORGED_WORKLOAD, **changes: Any) -> Trust:
        """What an attester of this verifier is told."""
        values: dict[str, Any] = {
            "url": self.folder.base_url,
            "ca": self.folder.ca_file.read_text(encoding="ascii"),
            "issuer": self.folder.issuer(),
            "root": self.folder.root_jwk,
            "root_lowest_seq": 1,
            "tenant": "default",
            "workload": workload,
            "audience": self.place.audience,
        }
        return Trust(**{**values, **changes})

    def prepare(self, trust: Trust | None = None) -> Request:
        """A signed request that was not sent."""
        return prepare(trust or self.trust(), self.provider)

    def send(self, body: bytes) -> Reply:
        """Send a request's body as it stands."""
        return send(verifier_client(self.trust()), body)

    def attest(self, trust: Trust | None = None) -> Opened:
        """Walk the whole way once."""
        trust = trust or self.trust()
        return attest_once(verifier_client(trust), trust, self.provider, lambda: int(time.time()))

    def get(self, path: str) -> requests.Response:
        """GET a path."""
        with self.folder.session() as session:
            return session.get(f"{self.folder.base_url}{path}", timeout=30)

    def trust_machines(self, machines: Mapping[str, ForgedMachine], now: int) -> None:
        """Lay documents and anchors of machines, by their workloads' names, and take every endorsement out of the folder."""
        for name, machine in machines.items():
            documents = [*documents_of(machine, now), workload(name, name, self.place)]
            write_documents(self.folder.path / "trust" / f"{name}.yaml", documents)
            for folder, anchors in machine.anchors.items():
                for number, anchor in enumerate(anchors):
                    target = self.folder.path / "anchors" / folder / f"forged{number}.der"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(anchor.certificate_der)
        for left in (self.folder.path / "endorsements").rglob("*.der"):
            left.unlink()

    def admin(self, path: str) -> requests.Response:
        """GET a path of the operator's listener."""
        return self.folder.admin(path)

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        serve(self.processes, self.name, self.folder)

    def kill(self) -> None:
        """Kill every process of it at once, as a power cut would."""
        self.processes.stop(self.name, signal.SIGKILL)

    def stop(self) -> int:
        """End it gracefully."""
        return self.processes.stop(self.name)

    def log(self) -> str:
        """What it has written."""
        return self.processes.log(self.name)

    def records(self) -> list[Any]:
        """All records, oldest first."""
        with self.folder.store() as store:
            found: list[Any] = []
            while more := store.records_after(found[-1].seq if found else 0, 10_000):
                found += more
            return found


def problem(reply: Reply) -> dict[str, Any]:
    """Return a refusal's problem document, having checked that it is one."""
    document: dict[str, Any] = json.loads(reply.body)
    assert document["status"] == reply.status
    assert {"type", "title", "status", "detail", "code", "check_id"} <= document.keys()
    return document


@contextmanager
def live_verifier(
    path: Path,
    settings: Mapping[str, Any] | None = None,
    *workloads: str,
    place: VaultPlace | None = None,
    start: bool = True,
) -> Iterator[LiveVerifier]:
    """Lay out a verifier for forged chips and serve it until the block ends; ``start`` false: the block starts it."""
    path.mkdir(parents=True, exist_ok=True)
    with Processes(path) as processes:
        folder = lay_verifier(path / "verifier", simulated=True, settings={**FAST, **(settings or {})})
        lay_forged(folder)
        place = place or VaultPlace(
            "https://127.0.0.1:1", folder.ca_file.read_text(encoding="ascii"), "attestation-default", "demo"
        )
        write_documents(folder.path / "trust" / "forged.yaml", forged_documents(place, *workloads))
        live = LiveVerifier(folder, processes, place)
        if start:
            live.start()
        yield live


def seeded(name: str) -> random.Random:
    """Return randomness that a failure can be repeated with: seeded by the test's name, or by VAB_TEST_SEED."""
    return random.Random(os.environ.get("VAB_TEST_SEED", name))  # noqa: S311 - for tests
