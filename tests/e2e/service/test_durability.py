"""What survives: kill -9 in the middle of attestations, a worker's death, a graceful stop."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from attester.https import Reply
from tests.support.keyfiles import make_key_folder
from tests.support.live import LiveVerifier, live_verifier, problem, seeded
from tests.support.proc import processes_of, web_processes
from tests.support.signing import BASE_URL
from tests.support.waiting import wait_for
from tools.demo.adversaries import Request, open_jwe
from verifier.formats.encoding import sha256, unb64url
from verifier.formats.errors import BridgeError

# Servers die under their clients here: sockets that break in their handshake are closed by the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

REQUESTS = 50
KILLS = 10


def _jti(request: Request, reply: Reply) -> str:
    """Open an answer as its recipient and return the token's id."""
    jws = open_jwe(json.loads(reply.body)["answer"], request.keys.enc)
    members = json.loads(unb64url(jws.decode().split(".")[1]))
    return str(jwt.decode(members["token"], options={"verify_signature": False})["jti"])


def _send_all(live: LiveVerifier, requests: list[Request], kill_at: int) -> dict[bytes, str]:
    """Send concurrently, and kill every process of the verifier with the answer number ``kill_at``.

    Returns nonce -> jti of every token that came back.
    """
    tokens: dict[bytes, str] = {}
    lock = threading.Lock()

    def one(request: Request) -> None:
        try:
            reply = live.send(request.body)
        except BridgeError:
            return  # the server died under it
        assert reply.status == 200, reply.body
        with lock:
            tokens[request.nonce] = ""
            if len(tokens) == kill_at:
                os.killpg(live.processes.pid(live.name), signal.SIGKILL)
        # Opening an answer takes as long as making one: it comes after the kill, not before.
        tokens[request.nonce] = _jti(request, reply)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(one, request) for request in requests]:
            future.result()
    return tokens


def test_kill_9_in_the_middle_of_attestations_ten_times(tmp_path: Path) -> None:
    """No token without its record, no nonce spent twice: whatever was answered is in the store, and only once."""
    random = seeded("kill")
    with live_verifier(tmp_path, {"workers": 2}) as live:
        seen: dict[bytes, str] = {}
        for _ in range(KILLS):
            requests = [live.prepare() for _ in range(REQUESTS)]
            tokens = _send_all(live, requests, random.randrange(1, REQUESTS // 2))
            live.kill()
            assert 0 < len(tokens) < REQUESTS, "the kill did not fall into the middle"
            seen |= tokens
            live.start()
            _check_records(live, requests, seen)
        with live.folder.store() as store:
            store.verify_chain()


def _check_records(live: LiveVerifier, requests: list[Request], seen: dict[bytes, str]) -> None:
    recorded = {record.nonce_hash: record.jti for record in live.records()}
    assert len(recorded) == len(live.records()), "a nonce has two records"
    for nonce, jti in seen.items():
        assert recorded.get(sha256(nonce)) == jti, "a token was handed out whose record is gone"
    for request in requests:
        reply = live.send(request.body)
        if sha256(request.nonce) in recorded:
            assert problem(reply)["check_id"] == "service.nonce.spent"
        else:
            assert reply.status == 200
            seen[request.nonce] = _jti(request, reply)


def _counter(live: LiveVerifier, name: str) -> float:
    found = re.findall(rf"^{name}{{[^}}]*}} ([0-9.e+]+)$", live.admin("/metrics").text, re.MULTILINE)
    return sum(float(value) for value in found)


def test_metrics_count_what_all_workers_did_and_never_fall(tmp_path: Path) -> None:
    with live_verifier(tmp_path, {"workers": 3}) as live:
        for _ in range(30):
            live.attest()
        live.send(live.prepare(live.trust("nobody")).body)

        # What /metrics says is at most a second old.
        wait_for(lambda: _counter(live, "vab_attestations_total") == 30)
        wait_for(lambda: _counter(live, "vab_refusals_total") == 1)
        victim = web_processes(live)[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(now := web_processes(live)) >= 3 and victim not in now)
        live.attest()
        wait_for(lambda: _counter(live, "vab_attestations_total") == 31)
        live.stop()
        live.start()
        assert _counter(live, "vab_attestations_total") == 0


def test_a_graceful_stop_lets_requests_in_flight_finish(tmp_path: Path) -> None:
    with live_verifier(tmp_path, {"workers": 1, "threads": 4}) as live:
        requests = [live.prepare() for _ in range(40)]
        answered: list[Request] = []
        first = threading.Event()

        def one(request: Request) -> None:
            try:
                reply = live.send(request.body)
            except BridgeError:
                return  # refused: the listener is closed
            assert reply.status == 200
            answered.append(request)
            first.set()

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(one, request) for request in requests]
            first.wait()
            status = live.stop()
            for future in futures:
                future.result()

        assert status == 0
        accepted = [record for record in live.records() if record.outcome == "accepted"]
        assert len(accepted) == len(answered), "a request was committed and its answer lost"


def test_a_worker_process_that_dies_is_started_again(tmp_path: Path) -> None:
    with live_verifier(tmp_path, {"workers": 1}) as live:

        def workers() -> list[int]:
            return list(processes_of(live, "verifier-worker"))

        first = wait_for(workers)
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: (now := workers()) and now != first)


def test_nothing_goes_on_serving_when_serve_itself_is_killed(tmp_path: Path) -> None:
    with live_verifier(tmp_path, {"workers": 2}) as live:
        os.kill(live.processes.pid(live.name), signal.SIGKILL)
        wait_for(lambda: not (processes_of(live, "verifier-web") or processes_of(live, "verifier-worker")))


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (
            {
                "simulated": "false",
                "base_url": BASE_URL,
                "key_file": "{}/production/keys.json",
                "key_passphrase_file": "{}/production/keys.passphrase",
            },
            "the key file that this store was sealed with",
        ),
        ({"simulated": "false", "database_url": "sqlite:///{}/fresh.db"}, "keys.json"),
        ({"base_url": "https://elsewhere.example"}, "keys.json"),
    ],
)
def test_store_and_keys_of_another_process_stop_the_start(tmp_path: Path, settings: dict[str, str], word: str) -> None:
    make_key_folder(tmp_path / "production")
    with live_verifier(tmp_path, {"workers": 1}) as live:
        live.stop()
        # Forged roots would stop a production process too: they are out of the way here.
        env = {f"VAB_{key.upper()}": value.format(tmp_path) for key, value in settings.items()}
        done = subprocess.run(
            [sys.executable, "-m", "verifier.cli", "serve", "--check", "--config", str(live.folder.settings_file)],
            capture_output=True, text=True, check=False,
            env={**os.environ, "VAB_PRIVATE_ANCHOR_DIR": str(tmp_path / "none"), **env},
        )  # fmt: skip

        assert done.returncode == 64
        assert word in done.stderr
