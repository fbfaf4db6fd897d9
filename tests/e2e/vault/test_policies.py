"""What a token may do once it is in: its own secrets, for a short while, and nothing else."""

from __future__ import annotations

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.issuer import TokenKey

LOOKUP, REVOKE, RENEW = "auth/token/lookup-self", "auth/token/revoke-self", "auth/token/renew-self"


@pytest.mark.parametrize(("role", "workload"), [("shared", "web"), ("shared", "api"), ("written-out", "solo")])
def test_a_workload_reads_its_own_secrets_and_no_others(house: Any, role: str, workload: str) -> None:
    token = house.token(role, house.claims(workload))

    assert house.can_read(token, f"acme/{workload}/db")
    for path in ("acme/cat/db", "acme/box/db", "rival/web/db", "acme/db", "other", "acme/+/db", "+/web/db", "*"):
        assert not house.can_read(token, path), path


def test_a_name_that_begins_like_another_reads_nothing_of_it(house: Any) -> None:
    """Below `acme/web/` is not what begins with `acme/web`."""
    house.vault.put_secret("acme/web-2/db", {"at": "acme/web-2/db"})

    assert not house.can_read(house.token("shared", house.claims("web")), "acme/web-2/db")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "secret/data/acme/web/db", {"data": {"at": "changed"}}),
        ("DELETE", "secret/data/acme/web/db", None),
        ("GET", "secret/metadata/acme/web/db", None),
        ("LIST", "secret/metadata/acme/web", None),
        ("GET", "secret/config", None),
        ("GET", "sys/policies/acl/attestation-acme_workload", None),
        ("GET", "cubbyhole/x", None),
        ("POST", "auth/token/create", {}),
        ("POST", RENEW, {}),
        ("POST", "sys/tools/hash", {"input": "QQ=="}),
    ],
)
def test_a_token_may_do_nothing_besides(house: Any, method: str, path: str, body: dict[str, Any] | None) -> None:
    token = house.token("shared", house.claims("web"))

    assert house.vault.call(method, path, token=token, body=body).status == 403


def _own(house: Any, role: str) -> tuple[str, str]:
    """Return a token of a role and the path of its own secret."""
    if role == "machine":
        claims = house.claims("box")
        return house.token(role, claims), f"acme/_instance/box/{claims['instance']}/key"
    if role == "state":
        claims = house.claims("gold")
        return house.token(role, claims), f"acme/_measurement/sev-snp/web/{claims['measurement_id']}/key"
    workload = {"shared": "web", "written-out": "solo"}[role]
    return house.token(role, house.claims(workload)), f"acme/{workload}/db"


# Everything that KV version 2 has for a path: its API, "KV secrets engine, version 2".
_VERBS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "data", None),
    ("POST", "data", {"data": {"at": "changed"}}),
    ("PATCH", "data", {"data": {"at": "changed"}}),
    ("DELETE", "data", None),
    ("GET", "metadata", None),
    ("LIST", "metadata", None),
    ("POST", "metadata", {"custom_metadata": {"seen": "yes"}}),
    ("DELETE", "metadata", None),
    ("GET", "subkeys", None),
    ("POST", "delete", {"versions": [1]}),
    ("POST", "undelete", {"versions": [1]}),
    ("PUT", "destroy", {"versions": [1]}),
]


@pytest.mark.parametrize("role", ["shared", "machine", "state", "written-out"])
def test_a_token_learns_nothing_outside_its_own_segment(house: Any, role: str) -> None:
    """Neither of what is there nor of what is not: every answer is the same refusal, of its own secrets' metadata too."""
    token, own = _own(house, role)
    folder = own.rpartition("/")[0]
    below = f"{own}/below"
    house.vault.put_secret(below, {"at": below})
    others = ["acme/cat/db", "acme/api/db", "rival/web/db", "acme/db", "other", "acme/cat/absent", "nobody/web/db"]

    allowed = [
        f"{method} {verb}/{path}"
        for path in (own, folder, below, *others)
        for method, verb, body in _VERBS
        if house.vault.call(method, f"secret/{verb}/{path}", token=token, body=body).status != 403
    ]

    assert allowed == [f"GET data/{own}"]
    assert house.can_read(token, own), "nothing was changed"


@pytest.mark.parametrize("role", ["shared", "machine", "state", "written-out"])
def test_deletion_and_custom_metadata_of_others_stay_unknown(house: Any, role: str) -> None:
    """A deleted secret with custom metadata answers like one that never was."""
    token, _ = _own(house, role)
    answers = []
    for path in ("acme/cat/gone", "rival/web/gone"):
        house.vault.put_secret(path, {"at": path})
        house.vault.as_root("POST", f"secret/metadata/{path}", {"custom_metadata": {"owner": "somebody"}})
        house.vault.as_root("DELETE", f"secret/data/{path}")
    for path in ("acme/cat/gone", "rival/web/gone", "acme/cat/never", "rival/web/never"):
        for method, verb in (("GET", "data"), ("GET", "metadata"), ("GET", "subkeys"), ("LIST", "metadata")):
            answer = house.vault.call(method, f"secret/{verb}/{path}", token=token)
            answers.append((answer.status, sorted(answer.body), answer.errors))

    assert len(set(map(str, answers))) == 1, answers
    assert answers[0][0] == 403


def test_a_name_of_two_segments_is_no_workloads_secret(house: Any) -> None:
    house.vault.put_secret("acme/web/db/main", {"at": "acme/web/db/main"})
    house.vault.put_secret("acme/web/db-main", {"at": "acme/web/db-main"})
    token = house.token("shared", house.claims("web"))

    assert not house.can_read(token, "acme/web/db/main")
    assert house.can_read(token, "acme/web/db-main")


def test_a_token_looks_itself_up_and_revokes_itself(house: Any) -> None:
    token = house.token("shared", house.claims("web"))

    looked_up = house.vault.call("GET", LOOKUP, token=token)
    assert looked_up.status == 200
    assert looked_up.body["data"]["policies"] == ["attestation-acme_workload"]
    assert house.vault.call("POST", REVOKE, token=token).status == 204
    assert house.vault.call("GET", LOOKUP, token=token).status == 403


@pytest.mark.parametrize(
    ("role", "workload"), [("shared", "web"), ("machine", "box"), ("state", "gold"), ("written-out", "solo")]
)
def test_no_role_lets_its_tokens_renew_themselves(house: Any, role: str, workload: str) -> None:
    token = house.token(role, house.claims(workload))

    assert house.vault.call("GET", LOOKUP, token=token).status == 200
    assert house.vault.call("POST", RENEW, token=token, body={"increment": "1h"}).status == 403


def test_a_token_ends_with_its_ttl(house: Any) -> None:
    token = house.token("brief", house.claims("quick"))
    assert house.can_read(token, "acme/quick/db")

    time.sleep(1.5)

    assert not house.can_read(token, "acme/quick/db")


def test_a_machine_reads_what_is_its_own(house: Any) -> None:
    first, second = house.claims("box", machine="01"), house.claims("box", machine="02")
    paths = [f"acme/_instance/box/{claims['instance']}/key" for claims in (first, second)]
    tokens = [house.token("machine", claims) for claims in (first, second)]

    assert [[house.can_read(token, path) for path in paths] for token in tokens] == [[True, False], [False, True]]
    assert not house.can_read(tokens[0], "acme/box/db"), "the instance policy reads the machine's secrets alone"


def test_a_measured_state_reads_what_is_its_own(house: Any) -> None:
    claims = house.claims("gold")
    path = f"acme/_measurement/sev-snp/web/{claims['measurement_id']}/key"

    assert house.can_read(house.token("state", claims), path)
    other = claims | {"measurement_id": "m:" + "0" * 64}
    assert not house.can_read(house.token("state", other), path)
    assert not house.can_read(house.token("state", claims), "acme/gold/db")


def test_disabling_the_entity_stops_every_token_at_once_and_new_logins(house: Any) -> None:
    """How a workload is cut off before its tokens end (docs/vault.md)."""
    claims = house.claims("cat")
    tokens = [house.token("shared", claims) for _ in range(2)]
    accessor = house.modules["acme"].outputs()["accessor"]
    found = house.vault.as_root(
        "POST", "identity/lookup/entity", {"alias_name": claims["sub"], "alias_mount_accessor": accessor}
    )
    entity = f"identity/entity/id/{found.body['data']['id']}"

    house.vault.as_root("POST", entity, {"disabled": True})
    try:
        assert [house.can_read(token, "acme/cat/db") for token in tokens] == [False, False]
        assert house.present("shared", claims).status == 403
    finally:
        house.vault.as_root("POST", entity, {"disabled": False})


def test_a_leaked_keys_tokens_are_refused_and_ended(house: Any) -> None:
    """The steps of docs/vault.md, "A signing key has leaked", on the second tenant's mount; then Terraform puts it back."""
    claims, successor = house.claims("web", tenant="rival"), TokenKey()
    stolen = house.issuer.mint("rival", claims)
    living = house.token("shared", claims, tenant="rival")
    pem = successor.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    config = {
        "jwt_validation_pubkeys": [pem],
        "bound_issuer": house.issuer.issuer("rival"),
        "jwt_supported_algs": ["ES256"],
    }

    house.vault.as_root("POST", "auth/attestation-rival/config", config)
    try:
        assert house.vault.login("attestation-rival", "shared", stolen).status == 400
        assert house.vault.login("attestation-rival", "shared", successor.sign(claims)).status == 200
        assert house.can_read(living, "rival/web/db")
        house.vault.as_root("PUT", "sys/leases/revoke-prefix/auth/attestation-rival/login")
        assert not house.can_read(living, "rival/web/db")
    finally:
        house.modules["rival"].apply()

    assert house.vault.login("attestation-rival", "shared", successor.sign(claims)).status == 400
    assert house.vault.login("attestation-rival", "shared", house.issuer.mint("rival", claims)).status == 200
    assert house.modules["rival"].has_no_drift().returncode == 0
