"""Many processes, and processes that are killed: nothing that was answered is lost, no nonce is spent twice."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.support.processes import StartChild
from tests.support.stores import SEALER
from tests.support.threads import in_threads
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.engine import Turn
from verifier.adapters.sql.store import open_store
from verifier.formats.errors import EvidenceRejected

KILLS = 10
THREADS = 4


def _in_threads(work: Callable[[], None]) -> None:
    in_threads(THREADS, work)


def _commit_for_ever(url: str) -> None:
    """Commit from four threads; say what, each after its commit has returned."""
    store = open_store(url, SEALER)

    def loop() -> None:
        while True:
            verdict = make_verdict()
            committed = store.commit_verdict(verdict)
            # One write a line: whole lines are what was answered.
            print(f"{committed.seq} {committed.digest.hex()} {verdict.nonce.hex()}\n", end="", flush=True)  # noqa: T201

    _in_threads(loop)


def test_what_was_answered_survives_kill_9(url: str, start_child: StartChild) -> None:
    """Five pairs of processes commit into one store; each is killed in the middle of it."""
    open_store(url, SEALER).close()
    answered: list[list[str]] = []
    for _ in range(KILLS // 2):
        pair = [start_child(lambda: _commit_for_ever(url)) for _ in range(2)]
        for child in pair:
            # It is well under way when it is killed, at a moment of no meaning.
            lines = [child.output.readline() for _ in range(20)]
            time.sleep(secrets.randbelow(30) / 1000)
            child.kill()
            status, rest = child.finish()
            assert status == -9
            whole = "".join(lines) + rest[: rest.rfind("\n") + 1]
            answered += [line.split() for line in whole.splitlines()]
    assert len(answered) >= 20 * KILLS
    store = open_store(url, SEALER)
    store.verify_chain()
    records = {record.seq: record for record in store.records_after(0, 1_000_000)}
    for seq, digest, _nonce in answered:
        assert records[int(seq)].digest.hex() == digest
    assert len({seq for seq, _, _ in answered}) == len(answered)
    spent = Counter(record.nonce_hash for record in records.values())
    assert set(spent.values()) == {1}
    with store._database.read() as connection:
        kept = {bytes(row[0]) for row in connection.execute(text("SELECT nonce_hash FROM spent_nonces"))}
    assert kept == set(spent)
    for _, _, nonce in answered[:: len(answered) // 20]:
        try:
            store.commit_verdict(make_verdict(nonce=bytes.fromhex(nonce)))
        except EvidenceRejected as refusal:
            assert refusal.check_id == "service.nonce.spent"  # noqa: PT017 - the commit must not pass either
        else:
            raise AssertionError(nonce)
    store.close()


def test_of_all_that_spend_a_nonce_exactly_one_wins(url: str, start_child: StartChild, tmp_path: Path) -> None:
    """Four processes of four threads each try sixty nonces, each in an order of its own."""
    nonces = [secrets.token_hex(64) for _ in range(60)]
    go = tmp_path / "go"
    open_store(url, SEALER).close()

    def redeem() -> None:
        store = open_store(url, SEALER)
        won: list[str] = []
        lost: set[str] = set()

        def loop() -> None:
            for nonce in random.sample(nonces, len(nonces)):
                try:
                    store.commit_verdict(make_verdict(nonce=bytes.fromhex(nonce)))
                    won.append(nonce)
                except EvidenceRejected as refusal:
                    lost.add(refusal.check_id)

        while not go.exists():
            time.sleep(0.001)
        _in_threads(loop)
        print(" ".join(won), *lost, sep="\n")  # noqa: T201

    children = [start_child(redeem) for _ in range(4)]
    go.touch()
    outputs = [child.finish() for child in children]
    assert [status for status, _ in outputs] == [0] * 4, outputs
    said = [output.split("\n") for _, output in outputs]
    assert Counter(nonce for lines in said for nonce in lines[0].split()) == Counter(nonces)
    assert {line for lines in said for line in lines[1:] if line} == {"service.nonce.spent"}
    store = open_store(url, SEALER)
    assert store.verify_chain().seq == len(nonces)
    store.close()


def test_marks_never_fall_and_a_lease_has_one_holder(url: str, start_child: StartChild) -> None:
    """Four processes raise one mark to many numbers in mixed orders: none sees it below what it knows of."""
    open_store(url, SEALER).close()

    def work(holder: str) -> None:
        store = open_store(url, SEALER)
        highest = 0
        for number in random.sample(range(1, 41), 40):
            taken = store.raise_high_water("issuer", number)
            assert not (taken and number < highest), (number, highest)
            highest = max(highest, number)
            assert not store.raise_high_water("issuer", highest - 1)
        print(store.acquire_lease("worker", holder, 60_000))  # noqa: T201
        store.close()

    children = [start_child(lambda holder=f"holder-{index}": work(holder)) for index in range(4)]  # type: ignore[misc]
    outputs = [child.finish() for child in children]
    assert sorted(outputs) == [(0, "False\n")] * 3 + [(0, "True\n")]
    store = open_store(url, SEALER)
    assert store.raise_high_water("issuer", 40)
    assert not store.raise_high_water("issuer", 39)
    store.close()


@pytest.mark.parametrize("has_turns", [True, False])
def test_writers_of_several_processes_keep_one_line(
    url: str, start_child: StartChild, monkeypatch: pytest.MonkeyPatch, *, has_turns: bool
) -> None:
    """Without turns too: they are for fairness, the database's own locks for safety."""
    if not has_turns:
        monkeypatch.setattr(Turn, "__enter__", lambda _turn: None)
    open_store(url, SEALER).close()

    def work() -> None:
        store = open_store(url, SEALER)
        _in_threads(lambda: [store.commit_verdict(make_verdict()) for _ in range(10)] and None)
        store.close()

    outputs = [child.finish() for child in [start_child(work) for _ in range(4)]]
    assert outputs == [(0, "")] * 4
    store = open_store(url, SEALER)
    assert store.verify_chain().seq == 4 * THREADS * 10
    store.close()
