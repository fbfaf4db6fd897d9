"""Clocks that are wrong: of the verifier's processes alone, by a shim before the C library. PostgreSQL's own clock stays right."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from attester.https import Reply
from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier
from tests.support.moved_clock import MovedWallClock, moved_wall_clock
from tests.support.postgresql import postgres_server
from tests.support.stores import last_record_ms, set_last_record_ms
from tests.support.waiting import wait_for
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.sql.store import SqlStore
from verifier.cli.store import command as store_command

MINUTES, DAY = 60, 86_400
# A day ahead is enough for evidence and keys to be over; a new key signs a second after it is published.
SHORT: dict[str, Any] = {
    "evidence_retention_days": 1,
    "jwks_max_age_s": 1,
    "key_publish_lead_s": 1,
    "signing_key_life_s": DAY // 2,
    "workers": 1,
}


@dataclass
class Clocked:
    """A live verifier whose clock can be moved, and its store, seen with the right clock."""

    live: LiveVerifier
    clock: MovedWallClock
    store: SqlStore

    def start(self) -> None:
        """Serve with the clock that can be moved, until it is ready and the worker has kept the time."""
        live = self.live
        command = [sys.executable, "-m", "verifier.cli", "serve", "--config", str(live.folder.settings_file)]
        live.processes.start(live.name, command, self.clock.env)
        live.processes.wait_for(live.name, live.folder.is_ready)

    def login(self) -> tuple[bytes, Reply]:
        """Prepare a request and send it."""
        body = self.live.prepare().body
        return body, self.live.send(body)

    def told(self, event: str) -> int:
        """Return how often the worker logged an event."""
        return self.live.log().count(f'"{event}"')

    def wait_for_rounds(self, count: int) -> None:
        """Wait for rounds of the worker: each renews its lease."""
        for _ in range(count):
            before = self._lease()
            wait_for(lambda before=before: self._lease() != before)

    def _lease(self) -> Any:
        with self.store._database.read() as connection:
            return connection.execute(text("SELECT expires_ms FROM leases")).scalars().all()

    def kept(self) -> tuple[Any, ...]:
        """Return what a wrong clock may not take: keys with their private halves, published keys, evidence by record."""
        folder = self.live.folder
        keys = KeyFile.for_operator(folder.path / "keys.json", folder.path / "keys.passphrase")
        signer = keys.signing_key("default", int(time.time())).kid
        records = self.store.records_after(0, 10_000)
        return signer, {one.seq: self.store.evidence(one.evidence_digest) for one in records}

    def login_again(self) -> float:
        """Log in until it works; returns the seconds that it took."""
        began = time.monotonic()
        wait_for(lambda: self.login()[1].status == 200)
        return time.monotonic() - began


@contextmanager
def clocked(path: Path, url: str = "") -> Iterator[Clocked]:
    """Lay out a verifier with a store at ``url`` or in a file."""
    with live_verifier(path, {**SHORT, **({"database_url": url} if url else {})}, start=False) as live:
        clock = moved_wall_clock(path)
        with live.folder.store() as store:
            yield Clocked(live, clock, store)


def _move_and_come_back(one: Clocked, off_s: int, rounds: int) -> tuple[float, str]:
    """Move the clock for some rounds of the worker and set it right; returns seconds until a login, and the id of the refusal."""
    body, reply = one.login()
    assert reply.status == 200, reply.body
    before, doubts = one.kept(), one.told("clock-doubted")
    one.clock.move(off_s)
    refused = one.login()[1]
    wait_for(lambda: one.told("clock-doubted") > doubts)
    one.wait_for_rounds(rounds)
    one.clock.move(0)
    seconds = one.login_again()
    said = json.loads(refused.body).get("check_id", "") if refused.status != 200 else "granted"
    again = one.live.send(body)
    assert json.loads(again.body)["check_id"] == "service.nonce.spent"
    signer, evidence = one.kept()
    assert signer == before[0]
    assert all(evidence[seq] is not None for seq in before[1])
    wait_for(lambda: one.told("clock-believed") == one.told("clock-doubted"))
    return seconds, said


@pytest.mark.fault(
    "clock of every process +10 min, -10 min, +1 day, +40 days, and right again; SQLite and PostgreSQL",
    "no key, no evidence and no spent nonce lost; no token meanwhile; logins back within 10 s",
)
def test_a_clock_that_is_wrong_for_a_while_destroys_nothing(tmp_path: Path, seen: Seen) -> None:
    with postgres_server() as server, ExitStack() as stack:
        places = {"sqlite": "", "postgresql": server.new_database()}
        # Side by side: most of the time goes into waiting for the worker's rounds.
        each = {name: stack.enter_context(clocked(tmp_path / name, url)) for name, url in places.items()}
        for one in each.values():
            one.start()
        failures: list[BaseException] = []
        figures: dict[str, list[str]] = {name: [] for name in each}

        def run(name: str) -> None:
            try:
                each[name].wait_for_rounds(1)
                for off_s, rounds in ((10 * MINUTES, 0), (-10 * MINUTES, 0), (DAY, 0), (40 * DAY, 3)):
                    seconds, said = _move_and_come_back(each[name], off_s, rounds)
                    figures[name].append(f"{off_s:+} s: {said}, back after {seconds:.1f} s")
                    assert said != "granted"
                    assert seconds < 10
                assert each[name].store.verify_chain().seq >= 8
            except BaseException as failure:  # noqa: BLE001 - told by the test's own thread
                failures.append(failure)

        threads = [threading.Thread(target=run, args=(name,)) for name in each]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for name, told in figures.items():
            seen(f"{name}: {', '.join(told)}")
        if failures:
            raise failures[0]


@pytest.mark.fault(
    "a start with a clock a day ahead, which is set right later; SQLite",
    "nothing lost; a login meanwhile does not carry the chain's time away; logins back within 10 s",
)
def test_a_start_with_a_wrong_clock_destroys_nothing(tmp_path: Path, seen: Seen) -> None:
    with clocked(tmp_path) as one:
        one.start()
        assert one.login()[1].status == 200
        one.wait_for_rounds(1)
        before = one.kept()
        one.live.stop()
        one.clock.move(DAY)
        one.start()
        wait_for(lambda: one.told("clock-doubted"))
        said = one.login()[1].status
        assert said == 200  # a process believes the clock that it starts with
        one.clock.move(0)
        seconds = one.login_again()
        after = one.kept()
        assert after[0] == before[0]
        assert all(after[1][seq] is not None for seq in before[1])
        assert seconds < 10
        seen(f"a login meanwhile: {said}; back after {seconds:.1f} s")


@pytest.mark.fault(
    "the head of the chain is 40 days ahead, as a build of before left it after one login with such a clock",
    "`verifier store accept-clock` records who says that the clock is right, and logins go on",
)
def test_a_head_that_is_too_new_has_a_way_out(tmp_path: Path, seen: Seen) -> None:
    with clocked(tmp_path) as one:
        one.start()
        one.login_again()
        set_last_record_ms(one.store, last_record_ms(one.store) + 40 * DAY * 1000)
        refused = one.login()[1]
        assert json.loads(refused.body)["check_id"] == "service.clock"
        words = ["accept-clock", "--config", str(one.live.folder.settings_file), "--reason", "NTP was off"]
        typed = CliRunner().invoke(store_command, [*words, "--format", "json"])
        assert typed.exit_code == 0, typed.output
        answer = json.loads(typed.stdout)
        seconds = one.login_again()
        record = one.store.record(int(answer["seq"]))
        assert record is not None
        assert (record.outcome, record.check_id, record.source) == ("clock-accepted", "service.clock", answer["by"])
        assert "NTP was off" in record.findings
        assert one.store.verify_chain().seq > record.seq
        seen(f"record {record.seq}, logins back after {seconds:.1f} s")


@pytest.mark.fault("PostgreSQL holds a commit up for more than 5 s", "the refusal names the store, not the clock")
def test_a_slow_store_is_not_called_a_wrong_clock(tmp_path: Path, seen: Seen) -> None:
    with postgres_server() as server, clocked(tmp_path, server.new_database()) as one:
        one.start()
        one.login_again()
        # The first one gives up waiting for the lock before 5 s; the second waits behind it and is too old when it is let in.
        bodies, replies = [one.live.prepare().body for _ in range(2)], list[Reply]()
        senders = [threading.Thread(target=lambda body=body: replies.append(one.live.send(body))) for body in bodies]
        with one.store._database.write() as connection:
            connection.execute(text("SELECT seq FROM chain_head WHERE id = 1 FOR UPDATE"))
            began = time.monotonic()
            for sender in senders:
                sender.start()
                wait_for(
                    lambda: connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one()
                )
            wait_for(lambda: time.monotonic() - began > 6)
        for sender in senders:
            sender.join()
        assert [json.loads(reply.body)["check_id"] for reply in replies] == ["service.store"] * 2
        assert "the request waited" in one.live.log()
        assert '"service.clock"' not in one.live.log()
        one.login_again()
        seen("2 of 2 service.store")
