"""Who gets in: the module's mounts and roles, asked by a real Vault with tokens that carry the claims of docs/claims.md."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from tests.support.issuer import TokenKey
from tests.support.vault import ROOT
from verifier.formats.encoding import b64url

BOUND = ("root", "simulated", "host_excluded", "dbgstat", "tenant", "workload", "sub", "iss", "aud")


def refused(answer: Any, *, why: str) -> None:
    """Insist that Vault said no, and for this reason."""
    assert answer.status in (400, 403), answer
    assert why in answer.errors, answer.errors
    assert "auth" not in answer.body or answer.body["auth"] is None


def test_an_honest_token_gets_in_under_its_role_alone(house: Any) -> None:
    answer = house.present("shared", house.claims("web"))

    assert answer.status == 200, answer.errors
    auth = answer.body["auth"]
    assert auth["policies"] == ["attestation-acme_workload"], "the default policy must not be among them"
    assert (auth["token_type"], auth["lease_duration"]) == ("service", 300)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("root", "private"),
        ("root", "simulated"),
        ("simulated", "true"),
        ("simulated", False),
        ("simulated", ""),
        ("host_excluded", "false"),
        ("host_excluded", "TRUE"),
        ("dbgstat", "enabled"),
        ("dbgstat", 3),
        ("tenant", "rival"),
        ("workload", "box"),
        ("sub", "w:00000000-0000-4000-8000-000000000000"),
    ],
)
def test_a_claim_with_another_value_is_refused(house: Any, claim: str, value: Any) -> None:
    refused(house.present("shared", house.claims("web") | {claim: value}), why="error validating claims")


def test_a_number_where_a_name_belongs_is_refused(house: Any) -> None:
    refused(house.present("shared", house.claims("web") | {"workload": 1}), why="claim 'workload' to string")


@pytest.mark.parametrize("claim", BOUND)
def test_a_missing_claim_is_refused(house: Any, claim: str) -> None:
    claims = house.claims("web")
    del claims[claim]

    answer = house.present("shared", claims)

    assert answer.status == 400, answer
    assert claim in answer.errors or {"iss": "issuer", "aud": "audience"}.get(claim, "-") in answer.errors


@pytest.mark.parametrize(
    ("role", "workload", "claim"), [("machine", "box", "instance"), ("state", "gold", "measurement_id")]
)
def test_a_token_without_its_roles_user_claim_is_refused(house: Any, role: str, workload: str, claim: str) -> None:
    claims = house.claims(workload)
    del claims[claim]

    refused(house.present(role, claims), why=f'claim "{claim}" not found')


def test_another_audience_is_refused(house: Any) -> None:
    refused(house.present("shared", house.claims("web") | {"aud": "vault:rival"}), why="aud")


def test_another_issuer_is_refused_even_with_the_right_key(house: Any) -> None:
    claims = house.claims("web") | {"iss": house.issuer.issuer("rival")}

    refused(house.present("shared", claims), why="invalid issuer")


def test_another_tenants_token_is_refused(house: Any) -> None:
    """A genuine token of the second mount, brought to the first."""
    token = house.issuer.mint("rival", house.claims("web", tenant="rival"))
    assert house.vault.login("attestation-rival", "shared", token).status == 200

    refused(house.vault.login("attestation-acme", "shared", token), why="failed to verify")


def test_a_tenant_that_signs_another_tenants_claims_is_refused(house: Any) -> None:
    claims = house.claims("web") | {"iss": house.issuer.issuer("rival"), "aud": "vault:rival"}

    refused(house.present("shared", claims, tenant="rival"), why="error validating claims")


@pytest.mark.parametrize("role", ["machine", "state", "written-out", "brief"])
def test_a_workload_gets_in_under_no_role_but_its_own(house: Any, role: str) -> None:
    refused(house.present(role, house.claims("web")), why="error validating claims")


@pytest.mark.parametrize(
    "name",
    ["+", "*", "w*", "", "Web", "WEB", "Cat", "web/", "web ", "web,api", "\u212aiosk", "{{identity.entity.id}}"],
)
def test_a_name_that_vault_would_expand_or_fold_is_refused(house: Any, name: str) -> None:
    refused(house.present("shared", house.claims("web") | {"workload": name}), why="error validating claims")


def test_an_alias_in_other_case_is_refused(house: Any) -> None:
    claims = house.claims("web")

    refused(house.present("shared", claims | {"sub": claims["sub"].upper()}), why="error validating claims")


def test_a_key_that_is_not_in_the_jwks_is_refused(house: Any) -> None:
    token = TokenKey().sign(house.claims("web"))

    refused(house.vault.login("attestation-acme", "shared", token), why="failed to verify")


def test_a_foreign_key_under_a_known_kid_is_refused(house: Any) -> None:
    known = house.issuer.keys["acme"].key.kid
    token = jwt.encode(house.claims("web"), TokenKey().private, algorithm="ES256", headers={"kid": known})

    refused(house.vault.login("attestation-acme", "shared", token), why="failed to verify")


def test_a_known_key_of_another_algorithm_is_refused(house: Any) -> None:
    """The JWKS holds an ES384 key too; the mount takes ES256."""
    token = house.issuer.p384.sign(house.claims("web"))

    refused(house.vault.login("attestation-acme", "shared", token), why="unexpected algorithm")


def test_an_unsigned_token_is_refused(house: Any) -> None:
    refused(
        house.vault.login("attestation-acme", "shared", jwt.encode(house.claims("web"), None, algorithm="none")),
        why="error validating token",
    )


def test_the_public_key_as_a_shared_secret_is_refused(house: Any) -> None:
    """Algorithm confusion: HS256 over a secret that everybody knows."""
    known = house.issuer.keys["acme"].key
    secret = known.public_jwk["x"].ljust(64, "=")
    token = jwt.encode(house.claims("web"), secret, algorithm="HS256", headers={"kid": known.kid})

    refused(house.vault.login("attestation-acme", "shared", token), why="error validating token")


def test_the_verifiers_own_login_is_no_workloads(house: Any) -> None:
    """What ``mint_self`` signs: the tenant's key, a subject of its own, none of a workload's claims."""
    now = int(time.time())
    own = {"sub": "v:revoker", "aud": "vault:acme", "iat": now, "nbf": now, "exp": now + 60, "simulated": "false"}

    refused(house.present("shared", own | {"iss": house.issuer.issuer("acme")}), why="error validating claims")


def test_a_signed_answer_is_no_token(house: Any) -> None:
    """An answer has no registered claims: even under a key of the JWKS it would not get in."""
    answer = {"issuer": house.issuer.issuer("acme"), "tenant": "acme", "workload": "web", "nonce": b64url(bytes(64))}

    assert house.present("shared", answer).status == 400


@pytest.mark.parametrize(("past", "gets_in"), [(2, True), (8, False), (30, False)])
def test_five_seconds_after_exp_and_no_more(house: Any, past: int, gets_in: bool) -> None:  # noqa: FBT001
    """Without the role's clock_skew_leeway Vault would add a minute."""
    now = int(time.time())
    answer = house.present("shared", house.claims("web") | {"iat": now - 90, "nbf": now - 90, "exp": now - past})

    assert (answer.status == 200) is gets_in, answer


@pytest.mark.parametrize(("ahead", "gets_in"), [(2, True), (20, False)])
def test_five_seconds_before_nbf_and_no_more(house: Any, ahead: int, gets_in: bool) -> None:  # noqa: FBT001
    now = int(time.time())
    answer = house.present("shared", house.claims("web") | {"iat": now, "nbf": now + ahead, "exp": now + 60})

    assert (answer.status == 200) is gets_in, answer


def test_a_login_from_another_network_is_refused(house: Any) -> None:
    refused(house.present("elsewhere", house.claims("far")), why="permission denied")


def test_the_same_token_logs_in_twice(house: Any) -> None:
    """What Vault does not check, and docs/vault.md says so: a stolen JWT is good until its `exp`."""
    token = house.issuer.mint("acme", house.claims("web"))

    assert [house.vault.login("attestation-acme", "shared", token).status for _ in range(2)] == [200, 200]


def test_the_document_tells_what_vault_says(house: Any) -> None:
    """Each row of the table in docs/vault.md, made to happen."""
    document = (ROOT / "docs" / "vault.md").read_text(encoding="utf-8")
    web, now = house.claims("web"), int(time.time())
    without_root = {name: value for name, value in web.items() if name != "root"}
    box = {name: value for name, value in house.claims("box").items() if name != "instance"}
    happened = {
        'claim "root" does not match any associated bound claim values': ("shared", web | {"root": "private"}),
        'claim "root" is missing': ("shared", without_root),
        'claim "instance" not found in token': ("machine", box),
        "invalid audience (aud) claim": ("shared", web | {"aud": "vault:rival"}),
        "invalid issuer (iss) claim": ("shared", web | {"iss": "https://other.example/t/acme"}),
        "token is expired": ("shared", web | {"exp": now - 30}),
        "token not yet valid": ("shared", web | {"nbf": now + 30}),
        "token issued in the future": ("shared", web | {"iat": now + 40}),
        "could not be found": ("no-such-role", web),
    }
    for words, (role, claims) in happened.items():
        assert words in document, words
        assert words in house.present(role, claims).errors
    for words in ("failed to verify id token signature", "token signed with unexpected algorithm", "permission denied"):
        assert words in document, words
