"""Trouble that may pass, on the way to the verifier and to Vault; and output that cannot be written."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attester import memfile
from attester.enrol import enrol
from attester.flow import verifier_client
from attester.https import Client, Reply
from attester.patience import Patience
from attester.problems import raise_problem, raise_vault_problem
from attester.providers import EnrolmentIdentity
from attester.settings import trust_from
from attester.supervise import Remover
from attester.vault import parse_reference, require_one_segment
from tests.support.false_servers import Said, Seen, Stage, problem, responding
from tests.support.https import make_tls
from tests.unit.attester.conftest import ROOT, Run
from tests.unit.attester.test_settings import document
from verifier.formats.encoding import b64url
from verifier.formats.errors import BridgeError, CannotDecide, ConfigError

REFERENCE = "secret/data/default/web/db#password"
KV2 = {"data": {"password": "correct horse"}, "metadata": {"version": 1}}
LOGIN = "/v1/auth/jwt-default/login"
# What Vault 1.21.1 says; tests/e2e/vault/test_keys_away.py asks it again.
KEYS_AWAY = [
    'error validating token: error verifying token signature: fetching keys oidc: get keys failed Get "https://a/jwks.json": dial tcp',
    'error configuring token validator: keyset configuration error: Get "https://a/.well-known/openid-configuration": dial tcp',
]


@contextmanager
def silent(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """Accept connections and let ``talk`` say what it likes; gives the URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            kept = []
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    break
                kept.append(connection)
                threading.Thread(target=talk, args=(connection,), daemon=True).start()
            for connection in kept:
                connection.close()
            ended.set()

        threading.Thread(target=serve, daemon=True).start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
    ended.wait(10)


def test_a_handshake_that_never_ends_is_no_answer(tmp_path: Path) -> None:
    ca, _, _ = make_tls(tmp_path)
    with silent(lambda _connection: None) as url, pytest.raises(CannotDecide) as caught:
        Client(url, ca.read_text(), name="verifier", left=lambda: 0.5).call("GET", "/")
    assert caught.value.check_id == "attester.verifier.unreachable"


def test_a_server_that_sends_a_byte_now_and_then_holds_nobody(tmp_path: Path) -> None:
    """Each byte comes in time; all of them would take for ever."""
    ca, cert, key = make_tls(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    stopped = threading.Event()

    def dribble(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as stream:
                stream.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stopped.wait(0.05):
                    stream.sendall(b"X: y\r\n"[:1])
        except OSError:
            pass

    with silent(dribble) as url, pytest.raises(CannotDecide) as caught:
        Client(url, ca.read_text(), name="vault", left=lambda: 0.5).call("GET", "/")
    stopped.set()
    assert caught.value.check_id == "attester.vault.unreachable"


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_proxies_and_busy_servers_say_may_pass(status: int) -> None:
    with pytest.raises(CannotDecide) as caught:
        raise_problem(Reply(status, {"retry-after": "3"}, b"<html>"))
    assert caught.value.retry_after == 3
    with pytest.raises(CannotDecide):
        raise_vault_problem(Reply(max(status, 429), {}, b""), "attester.vault.login", "login", ())


@pytest.mark.parametrize("words", KEYS_AWAY)
def test_a_vault_without_the_verifiers_keys_has_decided_nothing(words: str) -> None:
    body = json.dumps({"errors": [words]}).encode()
    with pytest.raises(CannotDecide) as caught:
        raise_vault_problem(Reply(400, {}, body), "attester.vault.login", "login", ())
    assert caught.value.check_id == "attester.vault.keys"


@pytest.mark.parametrize(
    "words",
    [
        "error validating token: error verifying token signature: failed to verify id token signature",
        'error validating claims: claim "root" does not match any associated bound claim values',
    ],
)
def test_a_verdict_of_vaults_is_one(words: str) -> None:
    with pytest.raises(BridgeError) as caught:
        raise_vault_problem(
            Reply(400, {}, json.dumps({"errors": [words]}).encode()), "attester.vault.login", "login", ()
        )
    assert (caught.value.check_id, caught.value.outcome) == ("attester.vault.login", "rejected")


def _arguments(command: str, memory: Path) -> list[str]:
    if command == "exec":
        return ["exec", "--wait", "60", "--env", f"DB={REFERENCE}", "--", "true"]
    return [command, "--wait", "60", *([REFERENCE] if command == "get" else []), "--out", str(memory / "out")]


@pytest.mark.parametrize("command", ["token", "login", "get", "exec"])
def test_every_command_waits_for_the_verifier(
    attester_process: Run, servers: Stage, memory: Path, command: str
) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    servers.verifier.replies["/v1/challenges"] = [Said(503, problem(503, "service.busy"), {"Retry-After": "0"})]
    servers.verifier.replies["/v1/attestations"] = [Said(502, b"<html>")]
    ran = attester_process(*_arguments(command, memory))
    assert ran.code == 0, ran.err
    assert len(servers.verifier.requests) == 1


@pytest.mark.parametrize("command", ["login", "get", "exec"])
def test_every_command_waits_for_vault(attester_process: Run, servers: Stage, memory: Path, command: str) -> None:
    """Also for a Vault that cannot get the keys; the same token is presented again while it lives."""
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    servers.vault.replies[LOGIN] = [Said(400, {"errors": [KEYS_AWAY[0]]}), Said(503, {"errors": ["sealed"]})]
    ran = attester_process(*_arguments(command, memory))
    assert ran.code == 0, ran.err
    assert len(servers.verifier.requests) == 1
    logins = [seen.body for seen in servers.vault.seen if seen.path == LOGIN]
    assert len(logins) == 3
    assert len(set(logins)) == 1


def test_a_token_that_ends_while_vault_cannot_decide_is_replaced(
    attester: Run, servers: Stage, memory: Path, naps: list[float]
) -> None:
    """Its life is over at once (5 s are kept back), and the bound is not: the machine attests again."""
    servers.verifier.claims = lambda claims: claims.update(iat=1_000, exp=1_005)
    servers.vault.replies[LOGIN] = [Said(400, {"errors": [KEYS_AWAY[0]]})] * 2
    ran = attester("login", "--out", str(memory / "t"))
    assert ran.code == 0, ran.err
    assert len(naps) == 2
    assert len(servers.verifier.requests) == 3
    assert len({json.loads(seen.body)["jwt"] for seen in servers.vault.seen}) == 3


def test_enrolment_waits_for_the_verifier(tmp_path: Path) -> None:
    """Each of its two requests is sent again by itself: a ticket is spent by the second."""
    asked: list[tuple[str, bytes]] = []

    def respond(seen: Seen) -> Said:
        asked.append((seen.method, seen.body))
        if [method for method, _ in asked].count(seen.method) <= 2:
            return Said(503, problem(503, "service.busy"))
        fields = {name: b64url(b"x") for name in ("credential_blob", "encrypted_secret", "state")}
        return Said(200, fields) if seen.method == "POST" else Said(204)

    identity = EnrolmentIdentity(
        ek_chain=(b"ek",), ek_public=b"ek", ak_public=b"ak", ak_name=b"name", ek_digest=b"digest"
    )
    tpm: Any = SimpleNamespace(enrolment_identity=lambda _file: identity, activate=lambda *_words: b"secret")
    with responding(tmp_path, "enroller", respond) as server:
        trust = trust_from(document(verifier__url=server.url, verifier__ca=server.ca), "file")
        patience = Patience(60, sleep=lambda _seconds: None)
        assert enrol(verifier_client(trust, patience.left), trust, tpm, patience=patience) == identity
    assert [method for method, _ in asked] == ["POST"] * 3 + ["PUT"] * 3
    assert len({body for _, body in asked}) == 2


@pytest.mark.parametrize(
    "path",
    [
        "secret/data/default/web/db/main",
        "kv/team/data/default/web/db/main",
        "secret/data/default/_instance/web/i:00/key/more",
        "secret/data/default/_measurement/sev-snp/web/m:00/key/more",
    ],
)
def test_a_secrets_name_with_a_slash_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        require_one_segment((parse_reference(f"{path}#x"),), "default")
    assert "one segment" in str(caught.value)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "secret/data/default/web/db",
        "secret/data/default/_instance/web/i:00/key",
        "secret/data/default/_measurement/sev-snp/web/m:00/key",
        "secret/data/rival/web/db/main",
        "pki/issue/web/more/steps/than/one",
        "secret/data/default",
        "data/default/web/db",
    ],
)
def test_other_paths_are_vaults_to_judge(path: str) -> None:
    require_one_segment((parse_reference(f"{path}#x"),), "default")


def test_the_command_refuses_a_name_with_a_slash_before_it_asks(attester: Run, servers: Stage, memory: Path) -> None:
    ran = attester("get", "secret/data/default/web/db/main#x", "--out", str(memory / "t"))
    assert ran.code == 64
    assert "db-main" in ran.err
    assert servers.verifier.seen == []


def _with_full_disk(words: list[str], limit: int = 4) -> subprocess.CompletedProcess[bytes]:
    """Run a command that may write no file beyond some bytes: what a full file system does, on every file system."""
    return subprocess.run(
        [sys.executable, "-m", "attester.cli.__main__", *words],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )


def _place(config: Path) -> list[str]:
    digest = hashlib.sha256(config.read_bytes()).hexdigest()
    image = str(config.with_name("image.toml"))
    return ["--provider", "simulated", "--simulated-host-data", digest, "--config", str(config), "--image-file", image]


@pytest.mark.parametrize("command", ["token", "login", "get", "evidence", "exec"])
def test_a_full_disk_is_a_sentence_and_leaves_nothing_behind(
    servers: Stage, config: Path, memory: Path, command: str
) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    tail = {
        "evidence": ["--nonce", "A" * 86, "--out-dir", str(memory)],
        "exec": ["--file", f"{memory / 'pw'}={REFERENCE}", "--format", "json", "--", "true"],
        "get": [REFERENCE, "--out", str(memory / "out")],
    }.get(command, ["--out", str(memory / "out")])
    done = _with_full_disk([command, *_place(config), "--format", "json", *tail])

    assert done.returncode == 3, done
    said = json.loads(done.stdout)
    assert said["check_id"] == "attester.output.write"
    assert "not written" in said["detail"]
    assert b"Traceback" not in done.stderr
    if command != "evidence":  # which is no secret
        assert list(memory.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["checks"], ["get", REFERENCE, "--out", "-"]])
def test_a_standard_output_that_is_full_is_a_sentence(servers: Stage, config: Path, words: list[str]) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    place = _place(config) if words[0] == "get" else []
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "attester.cli.__main__", *words, *place],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 3
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_nobody_is_left_to_remove_is_removed_at_once(memory: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    file = memfile.write(memory / "pw", b"secret")
    with pytest.raises(CannotDecide) as caught:
        Remover(writing).made(file)
    os.close(writing)
    assert caught.value.check_id == "attester.output.write"
    assert list(memory.iterdir()) == []


def test_without_proc_no_folder_is_taken_for_memory(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memfile, "_MOUNTINFO", "/nowhere/mountinfo")
    with pytest.raises(ConfigError):
        memfile.require_memory_folder(memory)


def test_the_command_that_is_started_writes_no_core_file_and_is_otherwise_as_usual(
    attester_process: Run, servers: Stage
) -> None:
    """It has the secrets as well. The flag that hides the attester's memory ends with exec, as docs/attester.md says."""
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    script = (
        "import ctypes,resource;print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    ran = attester_process("exec", "--env", f"DB={REFERENCE}", "--", sys.executable, "-c", script)
    assert ran.out.strip() == "(0, 0) 1", ran.err


def test_the_attester_forbids_core_dumps_before_it_has_a_secret(
    attester: Run, servers: Stage, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    monkeypatch.setattr("attester.cli.shared.forbid_core_dumps", lambda: called.append(len(servers.verifier.seen)))
    assert attester("login", "--out", str(memory / "t")).code == 0
    assert called == [0]
