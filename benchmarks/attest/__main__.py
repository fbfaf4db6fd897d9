"""``python -m benchmarks.attest``: a verifier on one core, eight clients on the other, records durable.

Five rounds, alternating with the bare cryptography on the same core and with Vault's own JWT login. CPU time is what the
target is held to: it says what the core did for us, also on a shared machine; wall time is told beside it.
Also: does a store of 100,000 workloads cost more per request than one of 10?

``--against [REV]``: whole logins of this build beside those of another revision (``benchmarks.attest.against``).
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.attest.against import compare
from benchmarks.attest.target import CLIENTS, Target, served, signed_request
from benchmarks.attest.vault_login import vault_login
from benchmarks.builds import cpu_s, revision_asked_for
from benchmarks.measure import ROUNDS, Ratio, at_most, cores, note, pinned, report, told
from tools.demo.forged import ForgedProvider
from tools.demo.processes import Processes
from verifier.core.binding import make_nonce

REQUESTS = 1_000
BARE_ROUNDS = 2_000
MANY = 100_000


def _nonces(target: Target, workload: str, count: int) -> list[bytes]:
    """Make nonces with the verifier's own keys, as its operator could: what is measured is what comes after them."""
    import time

    from verifier.adapters.challenges import ChallengeKeys
    from verifier.adapters.keys.signer_file import KeyFile
    from verifier.adapters.settings_source import load_settings

    keys = KeyFile.from_settings(load_settings(str(target.folder.settings_file), {}))
    with target.folder.store() as store:
        epoch = store.epoch()
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
        trust = target.trust(workload)
        bodies += [signed_request(provider, trust, nonce) for nonce in _nonces(target, workload, count // len(spread))]
    return bodies


def _round(target: Target, core: int) -> float:
    """Send one round of requests; returns seconds per request."""
    bodies = _bodies(target, REQUESTS)
    seconds, _answers = target.send(core, "/v1/attestations", "application/jose", bodies)
    return seconds / len(bodies)


def _bare(core: int) -> float:
    return float(pinned(core, [sys.executable, "-m", "benchmarks.attest.bare", str(BARE_ROUNDS)]))


def _measured(target: Target, core: int) -> tuple[float, float]:
    """Send one round; returns wall and CPU seconds per request."""
    before = cpu_s(target.pid)
    wall = _round(target, core)
    return wall, (cpu_s(target.pid) - before) / REQUESTS


def main() -> int:
    """Run and compare; with ``--against`` beside another revision and nothing else."""
    work, load = cores()
    if revision := revision_asked_for(sys.argv[1:]):
        return compare(revision, work, load)
    with tempfile.TemporaryDirectory(prefix="vab-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        processes = stack.enter_context(Processes(folder))
        note(f"attest: a verifier on core {work}, {CLIENTS} clients on core {load}, {REQUESTS} requests a round")
        few = stack.enter_context(served(folder / "few", processes, "few", work, 10))
        vault = stack.enter_context(vault_login(folder, processes, work))
        _round(few, load)
        ours, cpu, bare, logins = [], [], [], []
        for _ in range(ROUNDS):
            bare.append(_bare(work))
            wall, used = _measured(few, load)
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
    many = stack.enter_context(served(folder / "many", processes, "many", where[0], MANY))
    _round(many, where[1])
    large, small = [], []
    for _ in range(ROUNDS):
        small.append(_measured(few, where[1])[1])
        large.append(_measured(many, where[1])[1])
        note(f"attest: 10 workloads {small[-1] * 1e3:.3f} ms, {MANY} {large[-1] * 1e3:.3f} ms (CPU)")
    return at_most(f"{MANY} workloads / 10 workloads (CPU)", _ms(large), _ms(small), 1.2, "ms")


if __name__ == "__main__":
    sys.exit(main())
