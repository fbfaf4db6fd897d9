"""Three replicas with folders of their own, a leader that dies, a reload, a database that becomes read-only, orphans."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.conftest import Seen
from tests.support.live import LiveVerifier, live_verifier
from tests.support.postgresql import PostgresServer, postgres_server
from tests.support.proc import processes_of
from tests.support.replicas import Logins, Replica, host_of, replicas
from tests.support.waiting import wait_for
from tools.demo.forged import forged_documents
from tools.demo.tls import make_server_tls
from verifier.formats.errors import CannotDecide

KNOWN, LEAVING, NEW = "forged", "leaving", "new"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@contextlib.contextmanager
def three(path: Path, kind: str, request: pytest.FixtureRequest) -> Iterator[tuple[list[Replica], Logins]]:
    url = request.getfixturevalue("server").new_database() if kind == "postgresql" else ""
    with replicas(path, "abc", {"database_url": url} if url else {}) as made:
        yield made, Logins(list(made), made[0].live.folder.issuer())


@pytest.mark.fault(
    "three replicas, the folder of one is new, that one leads and is killed; then the others get the folder",
    "no login of a known workload is refused, none of a disabled one is granted",
)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_rolling_update_of_three_replicas(
    kind: str, tmp_path: Path, seen: Seen, request: pytest.FixtureRequest
) -> None:
    with three(tmp_path, kind, request) as (made, logins):
        first, *others = made
        old = forged_documents(first.live.place, KNOWN, LEAVING)
        new = [*old[:-1], {**old[-1], "state": "disabled"}, forged_documents(first.live.place, NEW)[-1]]
        for replica in made:
            replica.write(old)
            replica.start()
        with logins.going_on(KNOWN):
            assert {logins.once(replica, LEAVING) for replica in made} == {"granted"}
            first.write(new)
            began = time.monotonic()
            wait_for(lambda: all(logins.once(replica, LEAVING) == "policy.refused" for replica in made))
            took = time.monotonic() - began
            logins.outcomes.pop((LEAVING, "granted"))
            # The folders of the others are of yesterday: they say so, with both digests, and change nothing.
            for replica in others:
                (said, *_more) = wait_for(lambda replica=replica: replica.events("trust-refused"))
                assert said["check_id"] == "trust.set.older"
                assert said["folder"] != said["in_force"]
                wait_for(lambda replica=replica: replica.metric("vab_trust_folder_follows") == 0)
            wait_for(lambda: any(replica.metric("vab_worker_leads") for replica in made))
            leader = next(replica for replica in made if replica.metric("vab_worker_leads"))
            logins.take_out(first)
            first.kill()
            began = time.monotonic()
            wait_for(lambda: any(replica.metric("vab_worker_leads") for replica in others))
            led = time.monotonic() - began if leader is first else 0.0
            for replica in others:
                assert logins.once(replica, LEAVING) == "policy.refused"
                assert logins.once(replica, NEW) == "granted"
            for replica in others:
                replica.write(new)
                wait_for(lambda replica=replica: replica.metric("vab_trust_folder_follows") == 1)
            first.start()
            logins.put_in(first)
            for replica in made:
                assert logins.once(replica, LEAVING) == "policy.refused"
        assert (LEAVING, "granted") not in logins.outcomes
        assert {outcome for (workload, outcome) in logins.outcomes if workload == KNOWN} == {"granted"}
        seen(
            f"{kind}: {logins.outcomes[KNOWN, 'granted']} logins of the known workload, 0 refused;"
            f" {logins.outcomes[LEAVING, 'policy.refused']} of the disabled one, 0 granted; disabled everywhere after"
            f" {took:.1f} s, another leads {led:.1f} s after the leader was killed"
        )


@pytest.mark.fault("a leader is told to stop", "it gives its lease back: another leads at its next round")
def test_a_leader_that_stops_gives_its_lease_back(tmp_path: Path, seen: Seen) -> None:
    with replicas(tmp_path, "ab") as (first, second):
        first.start()
        wait_for(lambda: first.metric("vab_worker_leads"))
        second.start()
        wait_for(lambda: second.pids("verifier-worker"))
        began = time.monotonic()
        first.live.stop()
        wait_for(lambda: second.metric("vab_worker_leads"))
        seen(f"another leads after {time.monotonic() - began:.1f} s")
        assert first.events("lease-given-back")


@pytest.mark.fault("a file of documents is cut, and the folder cannot be read at a start", "live workloads stay")
def test_documents_that_are_lost_stay_in_force(tmp_path: Path, seen: Seen) -> None:
    with replicas(tmp_path, "a") as (only,):
        logins = Logins([only], only.live.folder.issuer())
        documents = forged_documents(only.live.place, KNOWN, "other")
        only.write(documents)
        only.start()
        only.write(documents[:-1])
        wait_for(lambda: only.metric("vab_trust_removals_waiting") == 1)
        (said, *_more) = only.events("trust-removal-waits")
        assert (said["check_id"], said["documents"]) == ("trust.set.removal", ["workload/default/other"])
        assert logins.once(only, "other") == "granted"
        only.live.stop()
        (only.trust_folder / "forged.yaml").write_text("document: [")
        only.start()
        assert {logins.once(only, name) for name in (KNOWN, "other")} == {"granted"}
        assert any(line["check_id"] == "trust.set.broken" for line in only.events("trust-refused"))
        seen("alarm, and both workloads log in; started with a broken folder, both still do")


@pytest.mark.fault(
    "SIGHUP after new certificates and settings, and after broken ones", "new ones serve, broken ones do not"
)
def test_settings_are_read_again(tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    with replicas(tmp_path, "a") as (only,), _manager(tmp_path, monkeypatch) as manager:
        only.start()
        logins = Logins([only], only.live.folder.issuer())
        pid, file = only.live.processes.pid(only.live.name), only.live.folder.settings_file
        before = _certificate_of(only)
        with logins.going_on(KNOWN):
            text = file.read_text()
            certificate, key = _another_certificate(tmp_path, only)
            file.write_text(_with(text, tls_certificate=certificate, tls_key=key) + "jwks_max_age_s = 17\n")
            began = time.monotonic()
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: only.events("reloaded"))
            took = time.monotonic() - began
            wait_for(lambda: _certificate_of(only) != before)
            wait_for(lambda: len(only.pids("verifier-worker")) == 1)
            wait_for(lambda: len(only.pids("verifier-web")) == 2)  # the old ones are gone: gunicorn and its one worker
            assert "max-age=17" in only.live.get("/t/default/.well-known/openid-configuration").headers["Cache-Control"]
            served = only.pids("verifier-web")
            file.write_text(text.replace("base_url = ", "colour = "))
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: only.events("reload-refused"))
            file.write_text(_with(text, tls_key=str(only.live.folder.ca_file)))
            os.kill(pid, signal.SIGHUP)
            wait_for(lambda: len(only.events("reload-refused")) == 2)
            assert only.pids("verifier-web") == served
        told: list[str] = []
        wait_for(lambda: told.extend(_told(manager)) or told.count("READY=1") == 4)
        assert only.live.stop() == 0
        told += _told(manager)
        assert told == ["READY=1", *["RELOADING=1", "READY=1"] * 3, "STOPPING=1"]
        granted = logins.outcomes[KNOWN, "granted"]
        assert set(logins.outcomes) == {(KNOWN, "granted")}
        seen(f"new ones after {took:.1f} s, two broken ones refused, {granted} logins meanwhile, none lost")


@pytest.mark.fault("gunicorn's first process is killed; `verifier serve` is killed", "nothing of it goes on")
@pytest.mark.parametrize("victim", ["verifier-web", "serve"])
def test_no_orphans(victim: str, tmp_path: Path, seen: Seen) -> None:
    with live_verifier(tmp_path, {"workers": 2}) as live:
        parent = live.processes.pid(live.name)
        wait_for(lambda: processes_of(live, "verifier-worker"))
        web = processes_of(live, "verifier-web")
        master = next(pid for pid, above in web.items() if above == parent)
        began = time.monotonic()
        os.kill(master if victim == "verifier-web" else parent, signal.SIGKILL)
        names = ("verifier-web", "verifier-worker")
        wait_for(lambda: not any(processes_of(live, name) for name in names))
        seen(f"{victim}: all gone after {time.monotonic() - began:.1f} s")


@pytest.mark.fault("the database is read-only for a while, for new sessions", "ready again at once, and steadily")
def test_sessions_that_cannot_write_leave_the_pool(tmp_path: Path, seen: Seen, server: PostgresServer) -> None:
    psycopg = pytest.importorskip("psycopg")
    url = server.new_database()
    name = urlsplit(url).path.removeprefix("/")

    def say(*statements: str) -> None:
        place = f"host={host_of(url)} user={server.user} dbname={name}"
        with psycopg.connect(place, autocommit=True, options="-c default_transaction_read_only=off") as session:
            for statement in statements:
                session.execute(statement)

    with live_verifier(tmp_path, {"database_url": url, "workers": 2}) as live:
        for _ in range(5):
            live.attest()
        others = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        say(f"ALTER DATABASE {name} SET default_transaction_read_only = on", others)
        wait_for(lambda: live.admin("/readyz").status_code == 503)
        say(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        began = time.monotonic()
        wait_for(lambda: live.admin("/readyz").status_code == 200)
        took = time.monotonic() - began
        # What was used within the last second is not asked whether it lives: each such connection may cost one login.
        wait_for(lambda: all(_logs_in(live) and live.admin("/readyz").status_code == 200 for _ in range(30)))
        steady = time.monotonic() - began
        seen(f"ready after {took:.1f} s; after {steady:.1f} s, 30 logins and 30 probes in a row had held")


def _logs_in(live: LiveVerifier) -> bool:
    try:
        live.attest()
    except CannotDecide:
        return False
    return True


@contextlib.contextmanager
def _manager(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Stand for systemd: what is started inside tells it how it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path / "notify"))
        listening.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path / "notify"))
        yield listening


def _told(manager: socket.socket) -> list[str]:
    lines: list[str] = []
    with contextlib.suppress(BlockingIOError):
        while True:
            lines += manager.recv(4096).decode().splitlines()
    return [line for line in lines if line in ("READY=1", "RELOADING=1", "STOPPING=1")]


def _certificate_of(replica: Replica) -> str:
    return ssl.get_server_certificate(("127.0.0.1", replica.live.folder.port))


def _another_certificate(path: Path, replica: Replica) -> tuple[str, str]:
    """Make a certificate of another CA, and have clients trust both."""
    folder = path / "other-tls"
    folder.mkdir()
    ca_file, certificate, key = make_server_tls(folder, "verifier")
    both = replica.live.folder.ca_file.read_text() + ca_file.read_text()
    replica.live.folder.ca_file.write_text(both)
    return str(certificate), str(key)


def _with(text: str, **values: str) -> str:
    lines = [line for line in text.splitlines() if line.partition(" = ")[0] not in values]
    return "\n".join([*lines, *(f'{key} = "{value}"' for key, value in values.items()), ""])
