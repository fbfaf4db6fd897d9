"""``python -m benchmarks.hostile``: what a hostile request costs the service, beside a normal login, and what 64 at once hold.

One process on one core. Of each kind so many requests are sent over eight connections, in rounds that alternate with whole normal
logins (challenge and attestation); CPU of the service is what counts. Then memory: a process that serves, idle after 200 logins,
and its peak while 64 connections send the largest requests at once.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.attest.target import Target, served, signed_request
from benchmarks.builds import cpu_s, memory_mib
from benchmarks.hostile.requests import Hostile, kinds
from benchmarks.measure import Ratio, cores, note, report
from tools.demo.forged import ForgedProvider
from tools.demo.processes import Processes
from verifier.formats.encoding import unb64url

ROUNDS, EACH, LOGINS, CONNECTIONS = 3, 16, 48, 8
AT_ONCE = 64
CPU_LIMIT, MEMORY_LIMIT = 2.0, 1.5


def _send(port: int, requests: Sequence[Hostile], connections: int) -> list[int]:
    """Send each once, over so many connections at once; returns the statuses (0: closed without an answer)."""
    statuses: list[int] = []

    def work(mine: Sequence[Hostile]) -> None:
        statuses.extend(_one(port, request) for request in mine)

    threads = [threading.Thread(target=work, args=(requests[at::connections],)) for at in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def _one(port: int, request: Hostile) -> int:
    head = (
        f"{request.method} {request.path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Content-Type: {request.media_type}\r\nContent-Length: {len(request.body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        try:
            stream.sendall(head.encode() + request.body)
            answer = b""
            while more := stream.recv(65_536):
                answer += more
        except OSError:
            return 0
    return int(answer[9:12] or 0)


def _challenges(target: Target, load: int, count: int) -> list[bytes]:
    asked = [json.dumps({"tenant": "default", "workload": target.names[0]})] * count
    _seconds, answers = target.send(load, "/v1/challenges", "application/json", asked)
    return [unb64url(json.loads(answer)["nonce"]) for answer in answers]


def _login_ms(target: Target, load: int) -> float:
    """Return CPU milliseconds of one whole login."""
    before, provider = cpu_s(target.pid), ForgedProvider()
    trust = target.trust(target.names[0])
    bodies = [signed_request(provider, trust, nonce) for nonce in _challenges(target, load, LOGINS)]
    target.send(load, "/v1/attestations", "application/jose", bodies)
    return (cpu_s(target.pid) - before) / LOGINS * 1e3


def _hostile_ms(target: Target, name: str, requests: Sequence[Hostile]) -> float:
    before = cpu_s(target.pid)
    statuses = _send(target.folder.port, requests, CONNECTIONS)
    used = (cpu_s(target.pid) - before) / len(requests) * 1e3
    if any(status in (200, 500) for status in statuses):
        raise SystemExit(f"{name}: answered with {sorted(set(statuses))}, want a refusal")
    return used


def _judged(name: str, ours: Sequence[float], login: Sequence[float]) -> Ratio:
    mine, normal = statistics.median(ours), statistics.median(login)
    return Ratio(name, mine, normal, "ms", mine / normal, f"<= {CPU_LIMIT}", mine / normal <= CPU_LIMIT)


def _cpu(target: Target, load: int) -> list[Ratio]:
    trust, ratios = target.trust(target.names[0]), []
    for name, kind in kinds():
        ours, login = [], []
        for _ in range(ROUNDS):
            nonces = iter(_challenges(target, load, EACH))
            requests = [kind(trust, nonces.__next__) for _ in range(EACH)]
            ours.append(_hostile_ms(target, name, requests))
            login.append(_login_ms(target, load))
        ratios.append(_judged(name, ours, login))
        note(f"hostile: {ratios[-1].ratio:5.2f} x a login: {name}")
    return ratios


def _memory(target: Target, load: int) -> Ratio:
    """Send the largest of all kinds at once, so many that each connection has one, and look at memory meanwhile."""
    trust = target.trust(target.names[0])
    _login_ms(target, load)
    idle, peak, done = memory_mib(target.pid), 0.0, threading.Event()
    nonces = iter(_challenges(target, load, 10 * AT_ONCE))
    largest = [request for _name, kind in kinds() if len((request := kind(trust, nonces.__next__)).body) > 1 << 20]
    requests = [largest[at % len(largest)] for at in range(2 * AT_ONCE)]

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, memory_mib(target.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _send(target.folder.port, requests, AT_ONCE)
    done.set()
    watcher.join()
    return Ratio(
        f"{AT_ONCE} of the largest at once: peak memory / idle", peak, idle, "MiB", peak / idle, f"<= {MEMORY_LIMIT}",
        peak / idle <= MEMORY_LIMIT,
    )  # fmt: skip


def main() -> int:
    """Measure and report: 0 when every figure is within its limit."""
    work, load = cores()
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        processes = stack.enter_context(Processes(folder))
        target = stack.enter_context(served(folder / "hostile", processes, "hostile", work, 1))
        _login_ms(target, load)
        return report([*_cpu(target, load), _memory(target, load)])


if __name__ == "__main__":
    sys.exit(main())
