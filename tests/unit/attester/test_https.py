"""One server under one CA, and the words of servers made fit to be shown."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from attester.answer import VaultPlace
from attester.https import MAX_ANSWER, Client, Reply
from attester.problems import clean, hint_for, raise_problem, retry_after
from attester.vault import Vault, VaultToken, is_path, parse_reference
from tests.support.false_servers import FalseVault, Said, Seen, Stage, responding
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected, MalformedEvidence
from verifier.tee.registry import SCHEMES


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "https://",
        "https://user:pw@host",
        "https://host?x=1",
        "https://host#x",
        "https://host:0x1",
        "https://host:99999",
        "ftp://host",
        "",
    ],
)
def test_only_a_plain_https_url_is_taken(servers: Stage, url: str) -> None:
    with pytest.raises(ConfigError):
        Client(url, servers.verifier_server.ca, name="verifier")


@pytest.mark.parametrize("ca", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_without_a_ca_nothing_is_trusted(servers: Stage, ca: str) -> None:
    with pytest.raises(ConfigError):
        Client(servers.verifier_server.url, ca, name="verifier")


def test_nobody_there_is_cannot_decide(servers: Stage) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        client = Client(f"https://127.0.0.1:{taken.getsockname()[1]}", servers.verifier_server.ca, name="vault")
        with pytest.raises(CannotDecide) as caught:
            client.call("GET", "/")
    assert caught.value.check_id == "attester.vault.unreachable"


def test_an_endless_answer_is_cut_short(tmp_path: Path) -> None:
    def respond(_seen: Seen) -> Said:
        return Said(200, bytes(MAX_ANSWER + 10))

    with responding(tmp_path, "huge", respond) as server, pytest.raises(MalformedEvidence) as caught:
        Client(server.url, server.ca, name="vault").call("GET", "/")
    assert caught.value.check_id == "attester.vault.answer"


def test_an_answer_that_breaks_off_is_no_answer(tmp_path: Path) -> None:
    def respond(_seen: Seen) -> Said:
        return Said(200, b'{"a": 1}', {"Content-Length": "100"})

    with responding(tmp_path, "short", respond) as server, pytest.raises(CannotDecide) as caught:
        Client(server.url, server.ca, name="verifier").call("GET", "/")
    assert caught.value.check_id == "attester.verifier.unreachable"


def test_words_of_a_server_are_short_printable_and_without_our_secrets() -> None:
    shown = clean("a\x1b[2Jb\nc s3cret " + "x" * 1000, ("s3cret", ""))
    assert "\x1b" not in shown
    assert "\n" not in shown
    assert "s3cret" not in shown
    assert len(shown) == 400


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("0", 0), ("99999", 120), ("-1", 0), ("soon", 0), ("1.5", 0), ("٣", 0), ("", 0)]
)
def test_retry_after_is_a_small_number_or_nothing(value: str, seconds: int) -> None:
    assert retry_after(Reply(503, {"retry-after": value}, b"")) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Mon, 30 Nov 2026 12:00:09 GMT", 9),
        ("Mon, 30 Nov 2026 11:00:00 GMT", 0),
        ("Tue, 01 Dec 2026 12:00:00 GMT", 120),
        ("Mon, 30 Nov 2026 12:00:09 -0000", 0),
    ],
)
def test_a_date_is_compared_with_the_answers_own(date: str, seconds: int) -> None:
    """This machine's clock is not asked: its host sets it."""
    headers = {"retry-after": date, "date": "Mon, 30 Nov 2026 12:00:00 GMT"}
    assert retry_after(Reply(503, headers, b"")) == seconds
    assert retry_after(Reply(503, {"retry-after": date}, b"")) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", b"[" * 100_000, b'{"check_id": 5, "detail": ["x"]}'])
def test_a_problem_that_is_none_is_still_a_no(body: bytes) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        raise_problem(Reply(403, {}, body))
    assert caught.value.check_id == "attester.verifier.answer"


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_every_check_id_of_every_scheme_is_repeated_as_it_is(scheme: str) -> None:
    ids = [check.id for check in SCHEMES[scheme].verification.checks] + [
        rule.id for rule in SCHEMES[scheme].appraisal.rules
    ]
    for check_id in (*ids, f"{scheme}.endorsement.pck_chain"):
        with pytest.raises(EvidenceRejected) as caught:
            raise_problem(Reply(403, {}, json.dumps({"check_id": check_id}).encode()))
        assert caught.value.check_id == check_id


def test_hints_know_the_nearest_prefix() -> None:
    assert "policy" in hint_for("policy.workload")
    assert hint_for("attester.vault.login") != hint_for("attester.vault.denied")
    assert hint_for("sev-snp.chain.root") == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "a#",
        "#b",
        "a",
        "/a#b",
        "a//b#c",
        "a/../b#c",
        "./a#b",
        "a?b#c",
        "a%2fb#c",
        "a b#c",
        "a/#c",
        "ä#c",
        "a#\n",
    ],
)
def test_a_reference_is_a_plain_path_and_a_key(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_reference(text)


def test_a_reference_reads_as_it_is_written() -> None:
    wanted = parse_reference("secret/data/default/web/db#pass#word")
    assert (wanted.path, wanted.key) == ("secret/data/default/web/db", "pass#word")
    assert is_path("a/b.c-d_e")


def _vault(servers: Stage) -> Vault:
    vault = Vault(VaultPlace(**servers.verifier.vault))
    vault.login("jwt")
    return vault


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ({"k": "v"}, b"v"),
        ({"data": {"k": "v"}, "metadata": {}}, b"v"),
        ({"data": {"data": {"k": "x"}, "k": "v"}, "metadata": {}}, b"v"),
        ({"k": [1, {"a": None}]}, b'[1,{"a":null}]'),
        ({"k": 5432}, b"5432"),
    ],
)
def test_values_of_both_kv_versions_are_read(servers: Stage, data: dict[str, object], want: bytes) -> None:
    servers.vault.secrets["kv/x"] = data
    assert _vault(servers).read(parse_reference("kv/x#k")) == want


@pytest.mark.parametrize("data", [None, [], {"data": None, "metadata": {}}, {"data": {}, "metadata": {}}])
def test_a_deleted_or_odd_secret_is_a_no(servers: Stage, data: object) -> None:
    servers.vault.replies["/v1/kv/x"] = [Said(200, {"data": data})]
    with pytest.raises((EvidenceRejected, MalformedEvidence)):
        _vault(servers).read(parse_reference("kv/x#k"))


@pytest.mark.parametrize("auth", [None, {}, {"client_token": 5}, {"client_token": "a\r\nX: y"}, {"client_token": ""}])
def test_a_login_without_a_usable_token_is_malformed(servers: Stage, auth: object) -> None:
    servers.vault.replies["/v1/auth/jwt-default/login"] = [Said(200, {"auth": auth})]
    with pytest.raises(MalformedEvidence):
        _vault(servers)


@pytest.mark.parametrize("mount", ["", "../sys", "a?b", "a/../b"])
def test_a_mount_cannot_lead_elsewhere(servers: Stage, mount: str) -> None:
    with pytest.raises(ConfigError):
        Vault(VaultPlace(**{**servers.verifier.vault, "mount": mount}))


def test_a_sealed_vault_may_pass_and_a_token_that_cannot_be_revoked_is_told(servers: Stage) -> None:
    vault = _vault(servers)
    servers.vault.replies["/v1/kv/x"] = [Said(503, {"errors": ["Vault is sealed"]})]
    with pytest.raises(CannotDecide) as caught:
        vault.read(parse_reference("kv/x#k"))
    assert caught.value.check_id == "attester.vault.unavailable"
    servers.vault.replies["/v1/auth/token/revoke-self"] = [Said(503)]
    assert vault.revoke() is False
    assert vault.revoke() is True


def test_a_vault_token_is_not_shown() -> None:
    assert "hvs" not in repr(VaultToken("hvs.secret", 60))
    assert FalseVault().seen == []
