"""Several ``verifier serve`` processes that share one store and one key file; each has a port and a trust folder of its own."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.live import LiveVerifier, live_verifier
from tests.support.proc import processes_of
from tools.demo.processes import hold_port
from tools.demo.trust import write_documents
from verifier.formats.errors import BridgeError


@dataclass
class Replica:
    """One of them."""

    name: str
    live: LiveVerifier
    url: str
    trust_folder: Path

    def write(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Put documents into its folder."""
        write_documents(self.trust_folder / "forged.yaml", [dict(one) for one in documents])

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        self.live.start()

    def kill(self) -> None:
        """Kill all of its processes at once, as a machine that is gone."""
        self.live.kill()

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return its log's lines of a name."""
        found = []
        for line in self.live.log().splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and event.get("event") == name:
                    found.append(event)
        return found

    def metric(self, name: str) -> float | None:
        """Return the value of a metric without labels."""
        found = re.search(rf"^{name} (\S+)$", self.live.admin("/metrics").text, re.MULTILINE)
        return None if found is None else float(found[1])

    def pids(self, name: str) -> set[int]:
        """Return the processes of that name."""
        return set(processes_of(self.live, name))


@dataclass
class Logins:
    """Logins one after another at replicas that are up, by workload; what came of each is counted."""

    replicas: list[Replica]
    issuer: str
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, replica: Replica, workload: str) -> str:
        """Try once; returns "granted", or the check id or the kind of error that it was refused by."""
        trust = replica.live.trust(workload, url=replica.url, issuer=self.issuer)
        try:
            replica.live.attest(trust)
        except BridgeError as error:
            outcome = error.check_id
        else:
            outcome = "granted"
        with self._lock:
            self.outcomes[workload, outcome] += 1
        return outcome

    @contextlib.contextmanager
    def going_on(self, workload: str) -> Iterator[None]:
        """Log in at every replica of the list, round by round, for the time of the block."""

        def run() -> None:
            while not self._stop.is_set():
                with self._lock:
                    now = list(self.replicas)
                for replica in now:
                    self.once(replica, workload)
                self._stop.wait(0.02)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def take_out(self, replica: Replica) -> None:
        """Send no more logins there, as a balancer does before a replica goes; waits for those on their way."""
        with self._lock:
            self.replicas = [one for one in self.replicas if one is not replica]
        time.sleep(0.5)

    def put_in(self, replica: Replica) -> None:
        """Send logins there again."""
        with self._lock:
            self.replicas = [*self.replicas, replica]


@contextlib.contextmanager
def replicas(path: Path, names: str, settings: Mapping[str, Any] | None = None) -> Iterator[list[Replica]]:
    """Lay out one verifier for each letter of ``names``, none started. They are the first one's, but for port and trust folder."""
    shared = {"workers": 1, "rate_per_minute": 100_000_000, **(settings or {})}
    with live_verifier(path, shared, start=False) as first:
        made = []
        for letter in names:
            folder, port = path / letter, first.folder.port if letter == names[0] else hold_port()
            admin_port = hold_port()
            folder.mkdir()
            shutil.copytree(first.folder.path / "trust", folder / "trust")
            text = first.folder.settings_file.read_text()
            for key, value in {
                "bind": f"127.0.0.1:{port}",
                "admin_bind": f"127.0.0.1:{admin_port}",
                "trust_dir": str(folder / "trust"),
                "collateral_dir": str(folder / "collateral"),
            }.items():
                text = re.sub(rf"^{key} = .*$", f"{key} = {json.dumps(value)}", text, flags=re.MULTILINE)
            file = folder / "verifier.toml"
            file.write_text(text)
            own = replace(first.folder, port=port, admin_port=admin_port, settings_file=file)
            live = LiveVerifier(own, first.processes, first.place, name=f"verifier-{letter}")
            made.append(Replica(letter, live, f"https://127.0.0.1:{port}", folder / "trust"))
        yield made


def host_of(url: str) -> str:
    """Return the folder of a PostgreSQL server's socket, out of a database's URL."""
    return urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["host"][0]
