"""``python -m benchmarks.attest``: a verifier on one core, eight clients on the other, records durable.

Five rounds, alternating with the bare cryptography on the same core and with Vault's own JWT login. CPU time is what the
target is held to: it says what the core did for us, also on a shared machine; wall time is told beside it.
Also: does a store of 100,000 workloads cost more per request than one of 10?
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from attester.flow import bind, request_body
from attester.keys import RequestKeys
from attester.settings import Trust
from benchmarks.attest.vault_login import vault_login
from benchmarks.measure import ROUNDS, Ratio, at_most, cores, note, pinned, report, told
from tools.demo.forged import ForgedProvider, forged_documents, lay_forged
from tools.demo.processes import Processes
from tools.demo.stack import VerifierFolder, lay_verifier
from tools.demo.trust import VaultPlace, write_documents
from verifier.core.binding import make_nonce

CLIENTS = 8
REQUESTS = 1_000
BARE_ROUNDS = 2_000
MANY = 100_000


@dataclass(frozen=True, slots=True)
class Target:
    """A verifier on its core, and which workloads its requests name."""

    folder: VerifierFolder
    place: VaultPlace
    names: tuple[str, ...]
    scratch: Path


@contextmanager
def _served(folder: Path, processes: Processes, name: str, core: int, count: int) -> Iterator[Target]:
    """Serve a verifier with ``count`` workloads over plain HTTP on the loopback, one worker process on one core."""
    settings = {
        "workers": 1, "threads": CLIENTS, "run_worker": False, "rate_per_minute": 1_000_000_000, "log_level": "warning",
        "behind_tls_proxy": True, "tls_certificate": "", "tls_key": "",
    }  # fmt: skip
    laid = lay_verifier(folder, simulated=True, settings=settings)
    lay_forged(laid)
    place = VaultPlace("https://127.0.0.1:1", laid.ca_file.read_text(encoding="ascii"), "attestation-default", "bench")
    names = tuple(f"w{index}" for index in range(count))
    write_documents(laid.path / "trust" / "bench.yaml", forged_documents(place, *names))
    process = processes.start(
        name, [sys.executable, "-m", "verifier.cli", "serve", "--config", str(laid.settings_file)]
    )
    os.sched_setaffinity(process.pid, {core})
    processes.wait_for(name, lambda: _ready(laid), within_s=300)
    try:
        yield Target(laid, place, names, folder)
    finally:
        processes.stop(name)


def _ready(laid: VerifierFolder) -> bool:
    import http.client

    try:
        connection = http.client.HTTPConnection("127.0.0.1", laid.port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200  # noqa: PLR2004 - HTTP OK
    except OSError:
        return False


def _nonces(target: Target, workload: str, count: int) -> list[bytes]:
    """Make nonces with the verifier's own keys, as its operator could: what is measured is what comes after them."""
    import time

    from verifier.adapters.challenges import ChallengeKeys
    from verifier.adapters.keys.signer_file import KeyFile
    from verifier.adapters.settings_source import load_settings
    from verifier.adapters.sql.store import open_store

    keys = KeyFile.from_settings(load_settings(str(target.folder.settings_file), {}))
    store = open_store(f"sqlite:///{target.folder.path / 'verifier.db'}")
    epoch = store.epoch()
    store.close()
    now_ms = int(time.time() * 1000)
    key_id, key = ChallengeKeys(keys.master).current(now_ms)
    return [
        make_nonce(
            key, key_id=key_id, epoch=epoch, now_ms=now_ms, random=os.urandom(28), issuer=target.folder.issuer(),
            tenant="default", workload=workload,
        )
        for _ in range(count)
    ]  # fmt: skip


def _bodies(target: Target, count: int) -> list[str]:
    """Forge and sign ``count`` requests, spread over the target's workloads."""
    provider, bodies = ForgedProvider(), []
    spread = target.names[:: max(1, len(target.names) // 10)][:10]
    for workload in spread:
        trust = Trust(
            url=target.folder.base_url, ca="", issuer=target.folder.issuer(), root={}, root_lowest_seq=1, tenant="default",
            workload=workload, audience=target.place.audience,
        )  # fmt: skip
        for nonce in _nonces(target, workload, count // len(spread)):
            keys = RequestKeys.fresh()
            envelope = provider.collect(bind(trust, keys, nonce))
            bodies.append(request_body(trust, keys, nonce, envelope).decode())
    return bodies


def _round(target: Target, core: int) -> float:
    """Send one round of requests; returns seconds per request."""
    bodies = _bodies(target, REQUESTS)
    job = {"port": target.folder.port, "path": "/v1/attestations", "media_type": "application/jose", "bodies": bodies}
    path = target.scratch / "job.json"
    path.write_text(json.dumps({**job, "clients": CLIENTS}), encoding="utf-8")
    answer = json.loads(pinned(core, [sys.executable, "-m", "benchmarks.attest.load", str(path)]))
    if answer["good"] != len(bodies):
        raise SystemExit(f"{len(bodies) - answer['good']} of {len(bodies)} requests were refused")
    return float(answer["seconds"]) / len(bodies)


def _bare(core: int) -> float:
    return float(pinned(core, [sys.executable, "-m", "benchmarks.attest.bare", str(BARE_ROUNDS)]))


def _cpu_s(processes: Processes, name: str) -> float:
    """Return the CPU seconds that a process and all below it have used: what a core did, also on a shared machine."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.name)], ticks[int(path.name)] = int(fields[1]), int(fields[11]) + int(fields[12])
    root, total = processes.pid(name), 0
    for pid, used in ticks.items():
        above = pid
        while above not in (root, 0, 1):
            above = parents.get(above, 0)
        total += used if above == root else 0
    return total / os.sysconf("SC_CLK_TCK")


def _measured(target: Target, processes: Processes, name: str, core: int) -> tuple[float, float]:
    """Send one round; returns wall and CPU seconds per request."""
    before = _cpu_s(processes, name)
    wall = _round(target, core)
    return wall, (_cpu_s(processes, name) - before) / REQUESTS


def main() -> int:
    """Run and compare."""
    work, load = cores()
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        processes = stack.enter_context(Processes(folder))
        note(f"attest: a verifier on core {work}, {CLIENTS} clients on core {load}, {REQUESTS} requests a round")
        few = stack.enter_context(_served(folder / "few", processes, "few", work, 10))
        vault = stack.enter_context(vault_login(folder, processes, work))
        _round(few, load)
        ours, cpu, bare, logins = [], [], [], []
        for _ in range(ROUNDS):
            bare.append(_bare(work))
            wall, used = _measured(few, processes, "few", load)
            ours.append(wall)
            cpu.append(used)
            logins.append(vault.round(load, CLIENTS))
            note(f"attest: bare {bare[-1] * 1e3:.3f} ms, whole {wall * 1e3:.3f} ms wall and {used * 1e3:.3f} ms CPU, "
                 f"Vault's login {logins[-1] * 1e3:.3f} ms")  # fmt: skip
        ratios = [
            at_most("attest / its bare cryptography (CPU)", _ms(cpu), _ms(bare), 2.6, "ms"),
            told("attest / its bare cryptography (wall)", _ms(ours), _ms(bare), "ms"),
            told("attest / Vault's own JWT login (wall)", _ms(ours), _ms(logins), "ms"),
            _compare_sizes(stack, folder, processes, few, (work, load)),
        ]
        return report(ratios)


def _ms(seconds: list[float]) -> list[float]:
    return [value * 1e3 for value in seconds]


def _compare_sizes(stack: ExitStack, folder: Path, processes: Processes, few: Target, where: tuple[int, int]) -> Ratio:
    note(f"attest: compiling {MANY} workloads (once, by digest)")
    many = stack.enter_context(_served(folder / "many", processes, "many", where[0], MANY))
    _round(many, where[1])
    large, small = [], []
    for _ in range(ROUNDS):
        small.append(_measured(few, processes, "few", where[1])[1])
        large.append(_measured(many, processes, "many", where[1])[1])
        note(f"attest: 10 workloads {small[-1] * 1e3:.3f} ms, {MANY} {large[-1] * 1e3:.3f} ms (CPU)")
    return at_most(f"{MANY} workloads / 10 workloads (CPU)", _ms(large), _ms(small), 1.2, "ms")


if __name__ == "__main__":
    sys.exit(main())
