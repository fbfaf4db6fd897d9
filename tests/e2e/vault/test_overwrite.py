"""The overwrite: alias metadata belong to the alias, so the last login wins. Harmless where `user_claim` determines them.

Each attack has a control beside it: the same attack on a role made by hand, where it works. Without those a test that
never attacked anything would be green.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ACME = "auth/attestation-acme"


@pytest.fixture
def careless(house: Any) -> Any:
    """Make a role as people write them: it maps what `sub` does not determine, and binds no name."""
    accessor = house.modules["acme"].outputs()["accessor"]
    metadata = f"identity.entity.aliases.{accessor}.metadata"
    text = "".join(
        f'path "secret/data/{{{{{metadata}.tenant}}}}/{tail}" {{ capabilities = ["read"] }}\n'
        for tail in (f"{{{{{metadata}.workload}}}}/+", f"by/{{{{{metadata}.measurement}}}}/+")
    )
    house.vault.as_root("POST", "sys/policies/acl/careless", {"policy": text})
    role = {
        "role_type": "jwt",
        "user_claim": "sub",
        "bound_audiences": ["vault:acme"],
        "claim_mappings": {name: name for name in ("tenant", "workload", "measurement")},
        "token_policies": ["careless"],
    }
    house.vault.as_root("POST", f"{ACME}/role/careless", role)
    for name in ("aa", "bb"):
        house.vault.put_secret(f"acme/by/{name * 48}/key", {"at": f"acme/by/{name * 48}/key"})
    yield house
    house.vault.as_root("DELETE", f"{ACME}/role/careless")
    house.vault.as_root("DELETE", "sys/policies/acl/careless")


def test_control_a_careless_role_hands_the_first_token_the_seconds_secrets(careless: Any) -> None:
    paths = [f"acme/by/{name * 48}/key" for name in ("aa", "bb")]
    claims = careless.claims("web")
    first = careless.token("careless", claims | {"measurement": "aa" * 48})
    assert [careless.can_read(first, path) for path in paths] == [True, False]

    careless.token("careless", claims | {"measurement": "bb" * 48})

    assert [careless.can_read(first, path) for path in paths] == [False, True]


def test_control_a_careless_role_lets_a_workload_named_plus_read_all(careless: Any) -> None:
    token = careless.token("careless", careless.claims("web") | {"workload": "+"})

    assert careless.can_read(token, "acme/api/db")


def test_control_a_careless_role_takes_a_missing_claim_in_silence(careless: Any) -> None:
    """It widens nothing: the rule that reads it is gone."""
    claims = careless.claims("web") | {"sub": "w:nobody"}
    del claims["workload"]

    token = careless.token("careless", claims)

    assert not careless.can_read(token, "acme/web/db")


def test_a_second_login_of_the_same_workload_changes_nothing_for_the_first(house: Any) -> None:
    claims = house.claims("web")
    first = house.token("shared", claims | {"measurement": "aa" * 48, "jti": "first"})
    second = house.token("shared", claims | {"measurement": "bb" * 48, "jti": "second", "policy_digest": "00" * 32})

    for token in (first, second):
        assert house.can_read(token, "acme/web/db")
        assert not house.can_read(token, "acme/api/db")


def test_a_refused_login_changes_nothing_either(house: Any) -> None:
    claims = house.claims("web")
    first = house.token("shared", claims)

    assert house.present("shared", claims | {"workload": "api", "simulated": "true"}).status == 400

    assert house.can_read(first, "acme/web/db")
    assert not house.can_read(first, "acme/api/db")


def test_two_workloads_in_one_measured_state_share_what_is_the_states(house: Any) -> None:
    """They share an alias. Nothing of the workload is in it, so neither can give the other its own paths."""
    gold, silver = house.claims("gold"), house.claims("silver")
    assert gold["measurement_id"] == silver["measurement_id"]
    path = f"acme/_measurement/sev-snp/web/{gold['measurement_id']}/key"

    first = house.token("state", gold)
    second = house.token("state", silver)

    for token in (first, second):
        assert house.can_read(token, path)
        assert not house.can_read(token, "acme/gold/db")
        assert not house.can_read(token, "acme/silver/db")


def test_two_machines_of_one_workload_have_aliases_of_their_own(house: Any) -> None:
    claims = [house.claims("box", machine=machine) for machine in ("01", "02")]
    first = house.token("machine", claims[0])
    house.token("machine", claims[1])

    assert house.can_read(first, f"acme/_instance/box/{claims[0]['instance']}/key")
    assert not house.can_read(first, f"acme/_instance/box/{claims[1]['instance']}/key")


def test_the_token_keeps_its_own_jti_for_the_audit(house: Any) -> None:
    claims = house.claims("web")
    first = house.token("shared", claims | {"jti": "the-first"})
    house.token("shared", claims | {"jti": "the-second"})

    looked_up = house.vault.call("GET", "auth/token/lookup-self", token=first)

    assert looked_up.body["data"]["meta"]["jti"] == "the-first"


def test_the_audit_log_names_what_was_mapped_and_holds_no_token(house: Any, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    house.vault.as_root("PUT", "sys/audit/test", {"type": "file", "options": {"file_path": str(log), "mode": "0600"}})
    claims = house.claims("gold") | {"jti": "for-the-audit"}
    jwt = house.issuer.mint("acme", claims)
    try:
        token = house.vault.login("attestation-acme", "state", jwt).body["auth"]["client_token"]
    finally:
        house.vault.as_root("DELETE", "sys/audit/test")

    logins = [json.loads(line) for line in log.read_text().splitlines()]
    metadata = [entry["auth"]["metadata"] for entry in logins if entry.get("auth", {}).get("metadata")]
    named = {name: claims[name] for name in ("jti", "policy_digest", "tenant", "tee", "policy", "measurement_id")}
    assert named | {"role": "state"} in metadata
    assert jwt not in log.read_text()
    assert token not in log.read_text()
