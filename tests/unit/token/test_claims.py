"""Claims: exactly those of docs/claims.md, in the forms that Vault can take."""

from __future__ import annotations

import hashlib
import itertools
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from tests.support.signing import APPRAISAL, ISSUER, JTI, NONCE, NOW, UUID, WORKLOAD, claims_of
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import EvidenceRejected
from verifier.tee.scheme import Matched
from verifier.token.claims import (
    CLAIM_NAMES,
    instance_name,
    measurement_name,
)

FLAT = (
    *("tenant", "workload", "policy", "policy_digest", "measurement", "measurement_id", "instance"),
    *("tee", "tcb_status", "ear_status", "root", "host_excluded", "simulated"),
)
REPOSITORY = Path(__file__).parents[3]


def test_a_token_says_exactly_what_the_list_of_claims_has() -> None:
    claims = claims_of()
    assert set(claims) == set(CLAIM_NAMES)
    assert {name: claims[name] for name in ("iss", "sub", "aud", "iat", "nbf", "exp", "jti")} == {
        "iss": ISSUER,
        "sub": f"w:{UUID}",
        "aud": "vault/jwt-default",
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 60,
        "jti": JTI,
    }
    assert unb64url(claims["eat_nonce"]) == NONCE
    assert len(claims["eat_nonce"]) == 86
    assert claims["cnf"] == {"jkt": b64url(hashlib.sha256(b"sig").digest())}
    assert claims["submods"] == {
        "sev-snp": {
            "ear_status": "affirming",
            "ear_trustworthiness_vector": {"hardware": 2, "executables": 2, "configuration": 2},
            "ear_appraisal_policy_ids": ["web"],
            "dbgstat": "disabled",
        }
    }
    assert claims["dbgstat"] == "disabled"
    assert re.match(r"tag:[a-z.]+,2026:", claims["eat_profile"])


def test_every_claim_for_vault_is_a_string_and_hex_is_lower_case() -> None:
    claims = claims_of()
    assert all(type(claims[name]) is str and claims[name] for name in FLAT)
    for name in ("policy_digest", "measurement"):
        assert re.fullmatch(r"(?:[0-9a-f]{2})+", claims[name])
    assert re.fullmatch(r"i:[0-9a-f]{64}", claims["instance"])
    assert re.fullmatch(r"m:[0-9a-f]{64}", claims["measurement_id"])
    assert (claims["host_excluded"], claims["simulated"], claims["root"]) == ("true", "false", "vendor")


def test_instance_is_over_the_documented_canonical_form() -> None:
    form = {"id": APPRAISAL.instance_id, "kind": "chip", "workload_uuid": UUID}
    assert claims_of()["instance"] == "i:" + hashlib.sha256(rfc8785.dumps(form)).hexdigest()
    variants = {instance_name(u, k, i) for u, k, i in itertools.product(("a", "b"), ("x", "y"), ("1", "2"))}
    assert len(variants) == 8


def test_measurement_id_is_over_the_documented_canonical_form() -> None:
    pairs = [["cfg", "1"], ["milan", "12"], ["ovmf", "3"]]
    form: Any = {"matched": pairs, "policy": "web", "tee": "sev-snp", "tenant": "default"}
    assert claims_of()["measurement_id"] == "m:" + hashlib.sha256(rfc8785.dumps(form)).hexdigest()


def test_measurement_id_depends_on_what_matched_and_not_on_its_order() -> None:
    identities = [
        Matched("workload", "app", 2, {}),
        Matched("firmware", "fw", 10, {}),
        Matched("firmware", "fw", 9, {}),
    ]
    names = {measurement_name("t", "tpm2", "p", order) for order in itertools.permutations(identities)}
    assert len(names) == 1
    base = ("t", "tpm2", "p", tuple(identities))
    others = [
        ("u", *base[1:]),
        ("t", "sev-snp", *base[2:]),
        ("t", "tpm2", "q", base[3]),
        (*base[:3], base[3][1:]),
        (*base[:3], (replace(identities[0], version=3), *identities[1:])),
    ]
    assert len({measurement_name(*other) for other in others} | names) == len(others) + 1


@pytest.mark.parametrize("unchecked", ["firmware", "workload"])
def test_no_measurement_id_where_a_class_that_measures_is_unchecked(unchecked: str) -> None:
    claims = claims_of(replace(APPRAISAL, unchecked_classes=frozenset({unchecked})))
    assert set(CLAIM_NAMES) - set(claims) == {"measurement_id"}


def test_no_measurement_id_where_nothing_measured_was_matched() -> None:
    claims = claims_of(replace(APPRAISAL, matched=(Matched("platform", "milan", 1, {}),)))
    assert "measurement_id" not in claims


def test_an_unchecked_platform_keeps_the_measurement_id() -> None:
    assert "measurement_id" in claims_of(replace(APPRAISAL, unchecked_classes=frozenset({"platform", "config"})))


def test_no_measurement_is_absent_and_never_an_empty_string() -> None:
    assert "measurement" not in claims_of(replace(APPRAISAL, measurement=""))


@pytest.mark.parametrize(
    ("change", "simulated", "check_id"),
    [
        ({"accepted": False, "check_id": "sev-snp.debug"}, False, "policy.accepted"),
        ({"bound": False}, False, "policy.bound"),
        ({"root": "simulated"}, False, "policy.root"),
        ({"root": "vendor"}, True, "policy.root"),
        ({"root": "private"}, True, "policy.root"),
        ({"root": "case-given"}, False, "policy.root"),
        ({"root": "case-given"}, True, "policy.root"),
        ({"debug_status": "enabled"}, False, "policy.debug"),
        ({"debug_allowed": True}, False, "policy.debug"),
        ({"policy": "+"}, False, "policy.name"),
        ({"matched": (Matched("firmware", "a/b", 1, {}),)}, False, "policy.name"),
    ],
)
def test_what_may_not_be_minted_gets_no_claims(change: dict[str, Any], simulated: bool, check_id: str) -> None:  # noqa: FBT001
    workload = replace(WORKLOAD, policy=change.get("policy", "web"))
    with pytest.raises(EvidenceRejected) as caught:
        claims_of(replace(APPRAISAL, **change), workload, simulated=simulated)
    assert caught.value.check_id == check_id


@pytest.mark.parametrize(("excluded", "said"), [(True, "true"), (False, "false")])
def test_whether_the_host_is_excluded_is_said_as_the_scheme_has_it(excluded: bool, said: str) -> None:  # noqa: FBT001
    assert claims_of(replace(APPRAISAL, host_excluded=excluded))["host_excluded"] == said


def test_debug_is_minted_in_a_simulated_process_only() -> None:
    debugged = replace(APPRAISAL, root="simulated", debug_status="enabled", debug_allowed=True)
    claims = claims_of(debugged, simulated=True)
    assert (claims["dbgstat"], claims["submods"]["sev-snp"]["dbgstat"]) == ("enabled", "enabled")
    assert (claims["simulated"], claims["root"]) == ("true", "simulated")


_NAMES = ("+", "*", "w*", "a/b", "Cat", "\N{KELVIN SIGN}at", "", "-a", "a-", "a" * 64, "a\n", "ä")


@pytest.mark.parametrize(("field", "name"), [*(("name", name) for name in _NAMES), ("tenant", "+")])
def test_a_name_that_vault_would_expand_or_fold_is_refused_here_too(field: str, name: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        claims_of(workload=replace(WORKLOAD, **{field: name}))
    assert caught.value.check_id == "policy.name"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"nonce": bytes(63)}, "nonce"),
        ({"sig_thumbprint": bytes(31)}, "sig_thumbprint"),
        ({"life_s": 301}, "life_s"),
        ({"life_s": 0}, "life_s"),
        ({"jti": "short"}, "jti"),
        ({"issuer": "http://verifier.example/t/default"}, "issuer"),
        ({"issuer": "https://verifier.example/t/other"}, "issuer"),
    ],
)
def test_a_senseless_argument_is_a_programmers_error(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got"):
        claims_of(**given)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"policy_digest": bytes(31)}, "policy_digest"),
        ({"measurement": "AB" * 48}, "measurement"),
        ({"measurement": "ab" * 4}, "measurement"),
        ({"instance_id": ""}, "instance"),
        ({"instance_kind": ""}, "instance"),
        ({"tcb_status": ""}, "tcb_status"),
        ({"tcb_status": "a b"}, "tcb_status"),
        ({"scheme": "SNP"}, "scheme"),
        ({"policy": "other"}, "policy"),
        ({"debug_status": "off"}, "debug_status"),
    ],
)
def test_a_senseless_appraisal_is_a_programmers_error(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got"):
        claims_of(replace(APPRAISAL, **change))


@pytest.mark.parametrize(("change", "field"), [({"uuid": UUID.upper()}, "uuid"), ({"audience": ""}, "audience")])
def test_a_senseless_workload_is_a_programmers_error(change: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: got"):
        claims_of(workload=replace(WORKLOAD, **change))


@pytest.mark.parametrize(
    ("status", "value", "honest"),
    [
        ("affirming", 31, True),
        ("affirming", -32, True),
        ("affirming", 32, False),
        ("affirming", -33, False),
        ("warning", 95, True),
        ("warning", -96, True),
        ("warning", 96, False),
        ("warning", -97, False),
        ("contraindicated", 96, True),
        ("none", 96, False),
    ],
)
def test_the_status_is_never_better_than_the_worst_of_the_vector(status: Any, value: int, honest: bool) -> None:  # noqa: FBT001
    appraisal = replace(APPRAISAL, ear_status=status, vector={"hardware": 2, "configuration": value})
    if honest:
        assert claims_of(appraisal)["ear_status"] == status
    else:
        with pytest.raises(ValueError, match=r"^ear_status: got"):
            claims_of(appraisal)


def test_the_build_is_the_one_that_is_released() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"{project['name']} {project['version']}" == claims_of()["ear_verifier_id"]["build"]
