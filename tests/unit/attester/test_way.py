"""The whole way as a user walks it: the command, real HTTPS, a forged machine, hostile answers."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.configfs_tsm import StandIn
from tests.support.false_servers import JWT_MARK, VAULT_TOKEN, Said, Stage, problem
from tests.support.https import make_tls
from tests.support.signing import new_key
from verifier.core.binding import Context, binding_digest
from verifier.formats.encoding import b64url
from verifier.tee.sev_snp.layout import LAYOUTS

Run = Callable[..., Any]
SECRET = "correct horse battery staple"  # noqa: S105 - made up
KV2 = {"data": {"password": SECRET, "port": 5432}, "metadata": {"version": 1}}


def test_the_secret_arrives_in_a_memory_file_and_nothing_secret_is_said(
    attester_process: Run, servers: Stage, memory: Path
) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    ran = attester_process(
        "get", "secret/data/default/web/db#password", "--out", str(memory / "pw"), "--format", "json"
    )
    assert ran.code == 0, ran.err
    assert (memory / "pw").read_text() == SECRET
    assert stat.S_IMODE((memory / "pw").stat().st_mode) == 0o600
    assert json.loads(ran.out)["vault_token_revoked"] is True
    for word in (SECRET, VAULT_TOKEN, JWT_MARK):
        assert word not in ran.out + ran.err
    assert servers.verifier.paths() == ["/v1/challenges", "/v1/attestations"]
    assert servers.vault.paths() == [
        "/v1/auth/jwt-default/login",
        "/v1/secret/data/default/web/db",
        "/v1/auth/token/revoke-self",
    ]
    login = json.loads(servers.vault.seen[0].body)
    assert login["role"] == "web"
    assert login["jwt"].endswith(JWT_MARK)


def test_the_evidence_carries_the_digest_of_this_very_request(attester: Run, servers: Stage, memory: Path) -> None:
    assert attester("token", "--out", str(memory / "t")).code == 0
    request = servers.verifier.requests[0]
    context = Context(servers.verifier.issuer, request.tenant, request.workload, request.audience)
    want = binding_digest(request.nonce, request.sig_thumbprint, request.enc_thumbprint, context).whole
    report = request.evidence.unverified_parts["report"]
    assert LAYOUTS[report[0]].decode(report)["report_data"] == want
    assert set(request.evidence.unverified_endorsements) == {"vcek", "ask"}


def test_every_attestation_has_keys_of_its_own(attester: Run, servers: Stage, memory: Path) -> None:
    for _ in range(2):
        assert attester("token", "--out", str(memory / "t")).code == 0
    first, second = servers.verifier.requests
    thumbprints = {first.sig_thumbprint, first.enc_thumbprint, second.sig_thumbprint, second.enc_thumbprint}
    assert len(thumbprints) == 4


def test_token_goes_to_memory_and_is_not_printed(attester: Run, memory: Path) -> None:
    ran = attester("token", "--out", str(memory / "jwt"))
    assert ran.code == 0
    assert JWT_MARK not in ran.out + ran.err
    assert (memory / "jwt").read_text().endswith(JWT_MARK)


def test_token_is_printed_only_when_asked_for_by_a_hyphen(attester_process: Run) -> None:
    ran = attester_process("token", "--out", "-")
    assert ran.code == 0
    assert ran.out.endswith(JWT_MARK)


def test_login_leaves_the_vault_token_in_memory(attester: Run, servers: Stage, memory: Path) -> None:
    ran = attester("login", "--out", str(memory / "vt"), "--format", "json")
    assert ran.code == 0
    assert (memory / "vt").read_text() == VAULT_TOKEN
    assert VAULT_TOKEN not in ran.out + ran.err
    assert json.loads(ran.out)["vault"] == servers.vault_server.url


def test_a_secret_on_a_disk_is_refused_before_anything_is_asked_for(
    attester: Run, servers: Stage, tmp_path: Path
) -> None:
    ran = attester("get", "secret/data/default/web/db#password", "--out", str(tmp_path / "pw"))
    assert ran.code == 64
    assert "tmpfs or ramfs" in ran.err
    assert servers.verifier.seen == []


def test_the_environment_cannot_bring_in_another_ca_or_proxy(
    attester_process: Run, memory: Path, tmp_path: Path
) -> None:
    wrong, _, _ = make_tls(tmp_path, label="wrong")
    env = {
        "REQUESTS_CA_BUNDLE": str(wrong),
        "CURL_CA_BUNDLE": str(wrong),
        "SSL_CERT_FILE": str(wrong),
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "https_proxy": "http://127.0.0.1:1",
        "NO_PROXY": "",
        "no_proxy": "",
    }
    ran = attester_process("login", "--out", str(memory / "vt"), env=env)
    assert ran.code == 0, ran.err


def test_a_ca_that_only_the_environment_trusts_is_not_trusted(
    attester_process: Run, servers: Stage, memory: Path, tmp_path: Path
) -> None:
    """The configuration names another CA than the verifier's; the environment names the right one."""
    wrong, _, _ = make_tls(tmp_path, label="wrong")
    right = servers.verifier_server.ca_file
    content = servers.config().replace(servers.verifier_server.ca, wrong.read_text())
    env = {"REQUESTS_CA_BUNDLE": str(right), "SSL_CERT_FILE": str(right), "SSL_CERT_DIR": str(tmp_path)}
    ran = attester_process("token", "--out", str(memory / "t"), "--format", "json", env=env, content=content)
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.verifier.untrusted"


def test_vault_is_reached_with_the_ca_of_the_answer_alone(attester: Run, servers: Stage, memory: Path) -> None:
    servers.verifier.vault = {**servers.verifier.vault, "ca_pem": servers.verifier_server.ca}
    ran = attester("login", "--out", str(memory / "t"), "--format", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.vault.untrusted"
    assert servers.vault.seen == []


def test_the_host_name_is_checked(attester: Run, servers: Stage, memory: Path) -> None:
    content = servers.config().replace('url = "https://127.0.0.1', 'url = "https://localhost')
    ran = attester("token", "--out", str(memory / "t"), "--format", "json", content=content)
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.verifier.untrusted"


def _no_root(servers: Stage) -> None:
    servers.verifier.forged_root = new_key()


def _old_seq(servers: Stage) -> None:
    servers.verifier.seq = 1


def _for_another(servers: Stage) -> None:
    """An answer to another request, re-encrypted to us: genuine, signed, and not ours."""
    other = b64url(hashlib.sha256(b"another attester").digest())

    def change(_request: Any, members: dict[str, Any]) -> None:
        members["sig"] = other

    servers.verifier.change = change


def _member(name: str, value: str) -> Callable[[Stage], None]:
    def wrong(servers: Stage) -> None:
        def change(_request: Any, members: dict[str, Any]) -> None:
            members[name] = value

        servers.verifier.change = change

    return wrong


def _claim(name: str, value: Any) -> Callable[[Stage], None]:
    def wrong(servers: Stage) -> None:
        def change(claims: dict[str, Any]) -> None:
            claims[name] = value

        servers.verifier.claims = change

    return wrong


def _other_recipient(servers: Stage) -> None:
    other = new_key().public_jwk
    servers.verifier.recipient = lambda _request: other


@pytest.mark.parametrize(
    ("wrong", "check_id"),
    [
        (_no_root, "answer.root"),
        (_old_seq, "answer.seq"),
        (_for_another, "answer.recipient"),
        (_other_recipient, "answer.decrypt"),
        (_member("tenant", "other"), "answer.tenant"),
        (_member("workload", "other"), "answer.workload"),
        (_member("issuer", "https://other.example/t/default"), "answer.issuer"),
        (_member("nonce", b64url(bytes(64))), "answer.nonce"),
        (_claim("cnf", {"jkt": b64url(bytes(32))}), "answer.token.cnf"),
        (_claim("eat_nonce", b64url(bytes(64))), "answer.token.nonce"),
    ],
)
def test_a_hostile_answer_is_refused_and_vault_never_called(
    attester: Run, servers: Stage, memory: Path, wrong: Callable[[Stage], None], check_id: str
) -> None:
    wrong(servers)
    content = servers.config(lowest_seq=2)
    ran = attester("login", "--out", str(memory / "t"), "--format", "json", content=content)
    assert ran.code == 1
    said = json.loads(ran.out)
    assert said["check_id"] == check_id
    assert "root" in said["hint"]
    assert servers.vault.seen == []
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize(
    ("said", "code", "check_id"),
    [
        (Said(403, problem(403, "policy.workload.pcrs")), 1, "policy.workload.pcrs"),
        (Said(400, problem(400, "sev-snp.decode.report")), 2, "sev-snp.decode.report"),
        (Said(503, problem(503, "service.store"), {"Retry-After": "60"}), 3, "service.store"),
        (Said(403, problem(403, "BAD\x1b[31m id")), 1, "attester.verifier.answer"),
        (Said(404, b"<html>"), 2, "attester.verifier.answer"),
        (Said(302, b"", {"Location": "https://elsewhere.example/"}), 2, "attester.verifier.answer"),
        (Said(502, b"bad gateway", {"Retry-After": "60"}), 3, "attester.verifier.failed"),
        (Said(200, b"[1]"), 2, "attester.verifier.answer"),
        (Said(200, {"answer": "a.b.c.d.e"}), 2, "answer.jwe"),
    ],
)
def test_every_no_of_the_verifier_keeps_its_kind_and_id(
    attester: Run, servers: Stage, memory: Path, said: Said, code: int, check_id: str
) -> None:
    servers.verifier.replies["/v1/attestations"] = [said] * 2
    ran = attester("token", "--out", str(memory / "t"), "--format", "json")
    assert ran.code == code, ran.out + ran.err
    assert json.loads(ran.out)["check_id"] == check_id
    assert "\x1b" not in ran.out


def test_what_may_pass_is_tried_again_from_the_first_step(
    attester: Run, servers: Stage, memory: Path, naps: list[float]
) -> None:
    busy = Said(503, problem(503, "service.store"), {"Retry-After": "1"})
    spent = Said(403, problem(403, "service.nonce.spent"))
    slow_down = Said(429, problem(429, "service.rate"), {"Retry-After": "1"})
    servers.verifier.replies["/v1/attestations"] = [busy, spent]
    servers.verifier.replies["/v1/challenges"] = [slow_down]
    ran = attester("token", "--out", str(memory / "t"))
    assert ran.code == 0, ran.err
    assert len(naps) == 3
    assert all(1.0 <= nap <= 4.0 for nap in naps[:2]), "never before the time that was asked for"
    assert 0 <= naps[2] <= 2.0, "nothing was asked for: a fresh challenge helps at once"
    assert servers.verifier.paths() == [
        "/v1/challenges",
        "/v1/challenges",
        "/v1/attestations",
        "/v1/challenges",
        "/v1/attestations",
        "/v1/challenges",
        "/v1/attestations",
    ]


def test_a_refusal_is_not_tried_again(attester: Run, servers: Stage, memory: Path) -> None:
    servers.verifier.replies["/v1/attestations"] = [Said(403, problem(403, "policy.refused"))]
    assert attester("token", "--out", str(memory / "t")).code == 1
    assert len(servers.verifier.seen) == 2


def test_a_vault_that_is_busy_is_waited_for(attester: Run, servers: Stage, memory: Path, naps: list[float]) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    sealed = Said(503, {"errors": ["Vault is sealed"]}, {"Retry-After": "1"})
    servers.vault.replies["/v1/auth/jwt-default/login"] = [sealed]
    servers.vault.replies["/v1/secret/data/default/web/db"] = [Said(429, {"errors": []}, {"Retry-After": "1"})]
    ran = attester("get", "secret/data/default/web/db#port", "--out", str(memory / "port"))
    assert ran.code == 0, ran.err
    assert (memory / "port").read_text() == "5432"
    assert len(naps) == 2
    assert all(1.0 <= nap <= 2.0 for nap in naps)


def test_vaults_refusals_say_why_without_saying_the_token(attester: Run, servers: Stage, memory: Path) -> None:
    path = "/v1/auth/jwt-default/login"
    servers.vault.replies[path] = [Said(400, {"errors": [f"claim mismatch in {JWT_MARK}"]})]
    ran = attester("login", "--out", str(memory / "t"), "--format", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.vault.login"
    assert "claim mismatch" in ran.out


@pytest.mark.parametrize("echo", ["the whole token", "hvs"])
def test_a_secret_in_an_error_of_vault_is_hidden(attester: Run, servers: Stage, memory: Path, echo: str) -> None:
    del echo
    servers.vault.replies["/v1/secret/data/x"] = [Said(403, {"errors": [f"no: {VAULT_TOKEN}\x1b[2J"]})]
    ran = attester("get", "secret/data/x#y", "--out", str(memory / "t"), "--format", "json")
    assert ran.code == 1
    assert VAULT_TOKEN not in ran.out + ran.err
    assert "\x1b" not in ran.out
    assert json.loads(ran.out)["check_id"] == "attester.vault.denied"
    assert servers.vault.paths()[-1] == "/v1/auth/token/revoke-self"


def test_a_missing_key_is_a_no(attester: Run, servers: Stage, memory: Path) -> None:
    servers.vault.secrets["secret/data/default/web/db"] = KV2
    ran = attester("get", "secret/data/default/web/db#other", "--out", str(memory / "t"), "--format", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.secret.key"
    assert "password" not in ran.out


def test_a_configuration_that_the_host_changed_is_not_obeyed(attester: Run, servers: Stage, memory: Path) -> None:
    ran = attester("token", "--out", str(memory / "t"), "--format", "json", "--simulated-host-data", "00" * 32)
    assert ran.code == 1
    assert json.loads(ran.out)["check_id"] == "attester.config.measured"
    assert servers.verifier.seen == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--verifier-url", "https://false.example"),
        ("--verifier-ca", "ca.pem"),
        ("--root", "root.json"),
        ("--root-lowest-seq", "0"),
        ("--issuer", "https://false.example/t/default"),
        ("--workload", "other"),
        ("--tenant", "other"),
        ("--audience", "other"),
    ],
)
def test_trust_is_not_changed_by_an_option_beside_a_measured_configuration(
    attester: Run, servers: Stage, memory: Path, option: str, value: str
) -> None:
    ran = attester("token", "--out", str(memory / "t"), option, value)
    assert ran.code == 64
    assert "--config-in-image" in ran.err
    assert servers.verifier.seen == []


def test_options_may_say_everything_where_the_command_line_is_part_of_the_image(
    attester: Run, servers: Stage, memory: Path
) -> None:
    ran = attester("token", "--out", str(memory / "t"), "--config-in-image", "--workload", "worker")
    assert ran.code == 0, ran.err
    assert servers.verifier.requests[0].workload == "worker"


def test_a_real_report_interface_is_compared_with_the_configuration_too(
    attester_process: Run, servers: Stage, memory: Path, tmp_path: Path, stand_in: StandIn
) -> None:
    digest = hashlib.sha256((tmp_path / "attester.toml").read_bytes()).hexdigest()
    place = ("--provider", "auto", "--configfs", str(stand_in.report), "--format", "json")
    refused = attester_process("token", "--out", str(memory / "t"), *place)
    assert json.loads(refused.out)["check_id"] == "attester.config.measured"
    assert servers.verifier.seen == []
    stand_in.tell(host_data=digest)
    assert attester_process("token", "--out", str(memory / "t"), *place).code == 0
