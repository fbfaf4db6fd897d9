"""The API of a live verifier: what it gives, and how it says no."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import jwt
import pytest

from attester.flow import request_body, verifier_client
from attester.keys import RequestKeys, sign_request
from tests.support.live import LiveVerifier, problem, seeded
from verifier.formats.encoding import b64url, canonical, sha256
from verifier.formats.errors import EvidenceRejected


def test_a_token_has_a_record_with_its_jti_and_the_digest_of_its_claims(live: LiveVerifier) -> None:
    claims = jwt.decode(live.attest().token, options={"verify_signature": False})

    record = live.records()[-1]
    assert (record.jti, record.outcome, record.check_id) == (claims["jti"], "accepted", "")
    assert record.claims_digest == sha256(canonical(claims))


def test_the_token_verifies_with_the_published_keys_and_says_what_it_is(live: LiveVerifier) -> None:
    token = live.attest().token
    discovery = live.get("/t/default/.well-known/openid-configuration").json()
    keys = jwt.PyJWKSet.from_dict(live.get("/t/default/.well-known/jwks.json").json())
    kid = jwt.get_unverified_header(token)["kid"]

    claims = jwt.decode(
        token, keys[kid], algorithms=["ES256"], audience=live.place.audience, issuer=discovery["issuer"]
    )
    assert discovery["issuer"] == live.folder.issuer()
    assert (claims["root"], claims["simulated"], claims["tee"]) == ("simulated", "true", "sev-snp")
    assert claims["exp"] - claims["iat"] == 60


def test_one_nonce_yields_one_token(live: LiveVerifier) -> None:
    request = live.prepare()
    assert live.send(request.body).status == 200

    again = problem(live.send(request.body))
    assert (again["status"], again["check_id"]) == (403, "service.nonce.spent")


def test_unwanted_evidence_and_an_unknown_workload_are_told_the_same(live: LiveVerifier) -> None:
    """The caller cannot tell them apart; the records can."""
    unknown = problem(live.send(live.prepare(live.trust("nobody")).body))
    foreign = problem(live.send(live.prepare(live.trust(audience="vault/elsewhere")).body))

    assert unknown == foreign
    assert unknown["check_id"] == "policy.refused"
    assert [record.check_id for record in live.records()[-2:]] == ["policy.workload", "policy.audience"]


def test_refusal_by_appraisal_spends_the_nonce(live: LiveVerifier) -> None:
    request = live.prepare(live.trust("nobody"))
    assert problem(live.send(request.body))["check_id"] == "policy.refused"

    assert problem(live.send(request.body))["check_id"] == "service.nonce.spent"


def test_refusals_before_appraisal_leave_nothing_behind_and_the_nonce_alive(live: LiveVerifier) -> None:
    request = live.prepare()
    before = len(live.records())
    report = bytearray(request.envelope.parts["report"])
    report[0x2A0] ^= 1  # the signature's r
    broken = replace(request.envelope, parts={"report": bytes(report)})
    body = request_body(live.trust(), request.keys, request.nonce, broken)

    assert problem(live.send(body))["check_id"] == "sev-snp.report.signature"
    assert len(live.records()) == before
    assert live.send(request.body).status == 200


def test_evidence_of_another_request_is_refused_by_its_binding(live: LiveVerifier) -> None:
    first, second = live.prepare(), live.prepare()
    body = request_body(live.trust(), second.keys, second.nonce, first.envelope)

    assert problem(live.send(body))["check_id"] == "binding.user-data"


def test_keys_swapped_in_the_request_are_refused_by_the_binding(live: LiveVerifier) -> None:
    request = live.prepare()
    stolen = RequestKeys.fresh()
    body = request_body(live.trust(), stolen, request.nonce, request.envelope)

    assert problem(live.send(body))["check_id"] == "binding.user-data"


def test_a_nonce_of_another_workload_is_refused_by_its_mac(live: LiveVerifier) -> None:
    request = live.prepare(live.trust("nobody"))
    body = request_body(live.trust(), request.keys, request.nonce, request.envelope)

    assert problem(live.send(body))["check_id"] == "service.nonce.mac"


def test_raising_the_epoch_voids_challenges(live: LiveVerifier) -> None:
    request = live.prepare()
    with live.folder.store() as store:
        store.raise_epoch()
    time.sleep(1.1)  # the service reads it at most once a second

    assert problem(live.send(request.body))["check_id"] == "service.nonce.epoch"
    assert live.attest().token


def _claims(live: LiveVerifier, **changes: Any) -> tuple[RequestKeys, dict[str, Any]]:
    request = live.prepare()
    trust = live.trust()
    return request.keys, {
        "tenant": trust.tenant,
        "workload": trust.workload,
        "audience": trust.audience,
        "nonce": b64url(request.nonce),
        "keys": request.keys.public(),
        "user_data": "",
        "evidence": request.envelope.as_json(),
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "status", "check_id"),
    [
        ({"workload": "+"}, 400, "wire.body"),
        ({"workload": "acme/Cat"}, 400, "wire.body"),
        ({"workload": "forged\n"}, 400, "wire.body"),
        ({"tenant": "elsewhere"}, 403, "service.tenant"),
        ({"nonce": "A" * 86}, 400, "wire.nonce"),
        ({"nonce": "AQ" + "A" * 84}, 403, "service.nonce.mac"),
        ({"nonce": "A" * 85}, 400, "wire.body"),
        ({"user_data": b64url(bytes(65))}, 400, "wire.body"),
        ({"user_data": b64url(b"other")}, 403, "binding.user-data"),
        ({"colour": "red"}, 400, "wire.body"),
        ({"keys": {}}, 400, "wire.body"),
        ({"evidence": {"version": 2, "scheme": "sev-snp", "parts": {"report": ""}}}, 400, "wire.body"),
        ({"evidence": {"version": 1, "scheme": "sgx-9", "parts": {"report": ""}}}, 400, "wire.evidence.scheme"),
        ({"evidence": {"version": 1, "scheme": "sev-snp"}}, 400, "wire.evidence.parts"),
        ({"evidence": {"version": 1, "scheme": "sev-snp", "parts": {"quote": ""}}}, 400, "sev-snp.decode.report"),
        (
            {"evidence": {"version": 1, "scheme": "sev-snp", "parts": {"report": "", "x": ""}}},
            400,
            "wire.evidence.parts",
        ),
        (
            {"evidence": {"version": 1, "scheme": "sev-snp", "parts": {"report": ""}, "endorsements": {"crl": ""}}},
            400,
            "wire.evidence.endorsements",
        ),
        ({"evidence": {"version": 1, "scheme": "sev-snp", "parts": {"report": "A==="}}}, 400, "wire.body"),
        ({"evidence": {"version": 1, "scheme": "sev-snp", "parts": {"report": "AB"}}}, 400, "wire.evidence.parts"),
    ],
)
def test_requests_that_are_not_as_described_are_refused_by_name(
    live: LiveVerifier, changes: dict[str, Any], status: int, check_id: str
) -> None:
    keys, claims = _claims(live, **changes)
    answer = problem(live.send(sign_request(claims, keys.sig)))

    assert (answer["status"], answer["check_id"]) == (status, check_id)


def test_a_composite_envelope_of_a_plain_scheme_is_refused(live: LiveVerifier) -> None:
    keys, claims = _claims(live)
    envelope = {"version": 1, "scheme": "sev-snp", "components": [claims["evidence"]]}
    answer = problem(live.send(sign_request({**claims, "evidence": envelope}, keys.sig)))

    assert answer["check_id"] == "wire.evidence.components"


def test_sig_and_enc_must_differ(live: LiveVerifier) -> None:
    keys, claims = _claims(live)
    public = keys.public()["sig"]
    answer = problem(live.send(sign_request({**claims, "keys": {"sig": public, "enc": public}}, keys.sig)))

    assert answer["check_id"] == "wire.keys"


def test_a_request_signed_by_somebody_else_is_refused(live: LiveVerifier) -> None:
    _, claims = _claims(live)
    answer = problem(live.send(sign_request(claims, RequestKeys.fresh().sig)))

    assert (answer["status"], answer["check_id"]) == (403, "wire.signature")


@pytest.mark.parametrize(
    ("header", "check_id"),
    [
        ({"alg": "none", "typ": "vab-request+jws"}, "wire.jws.header"),
        ({"alg": "ES256"}, "wire.jws.header"),
        ({"alg": "ES256", "typ": "vab-request+jws", "crit": ["exp"]}, "wire.jws.header"),
    ],
)
def test_the_request_s_header_is_exact(live: LiveVerifier, header: dict[str, Any], check_id: str) -> None:
    request = live.prepare()
    _, payload, signature = request.body.decode().split(".")
    head = b64url(json.dumps(header).encode())

    assert problem(live.send(f"{head}.{payload}.{signature}".encode()))["check_id"] == check_id


def test_a_header_that_names_its_algorithm_twice_is_malformed(live: LiveVerifier) -> None:
    request = live.prepare()
    _, payload, signature = request.body.decode().split(".")
    head = b64url(b'{"alg":"none","alg":"ES256","typ":"vab-request+jws"}')

    assert problem(live.send(f"{head}.{payload}.{signature}".encode()))["check_id"] == "wire.jws"


def test_a_body_of_no_announced_size_is_held_to_the_limit_too(live: LiveVerifier) -> None:
    """It must not be cut at the limit and judged as if that were all of it."""
    pieces = (b"a" * 65_536 for _ in range(65))
    with live.folder.session() as session:
        reply = session.post(
            f"{live.folder.base_url}/v1/attestations",
            data=pieces,
            headers={"Content-Type": "application/jose"},
            timeout=30,
        )

    assert (reply.status_code, reply.json()["check_id"]) == (413, "wire.size")


def test_readiness_says_ready(live: LiveVerifier) -> None:
    assert [live.admin("/readyz").status_code for _ in range(3)] == [200] * 3


def test_wrong_media_type_size_method_and_path_are_problems_too(live: LiveVerifier) -> None:
    client = verifier_client(live.trust())
    big = {"Content-Type": "application/jose"}
    found = [
        client.call("POST", "/v1/attestations", body=b"{}", headers={"Content-Type": "application/json"}),
        client.call("POST", "/v1/attestations", body=bytes(4 * 1024 * 1024 + 1), headers=big),
        client.call("DELETE", "/v1/attestations"),
        client.call("GET", "/v1/nothing"),
        client.call("GET", "/t/nobody/.well-known/jwks.json"),
    ]

    assert [problem(reply)["status"] for reply in found] == [415, 413, 405, 404, 404]


def test_jwks_are_static_bytes_with_an_entity_tag(live: LiveVerifier) -> None:
    path = "/t/default/.well-known/jwks.json"
    first, second = live.get(path), live.get(path)
    with live.folder.session() as session:
        cached = session.get(
            f"{live.folder.base_url}{path}", headers={"If-None-Match": first.headers["ETag"]}, timeout=30
        )

    assert first.content == second.content
    assert first.headers["Cache-Control"] == "public, max-age=60"
    assert (cached.status_code, cached.content) == (304, b"")
    assert not {"d", "p", "q"} & {member for key in first.json()["keys"] for member in key}


def test_garbage_in_the_report_is_malformed_and_leaves_the_service_alive(live: LiveVerifier) -> None:
    """Any truncation or random bytes: 400, no traceback, nothing stored."""
    random, request, before = seeded("garbage"), live.prepare(), len(live.records())
    report = request.envelope.parts["report"]
    lengths = [0, 1, 1183, *(random.randrange(1184) for _ in range(40))]
    tries = [report[:length] for length in lengths]
    tries += [random.randbytes(random.choice((1, 100, 1183, 1185, 5000))) for _ in range(40)]
    tries += [report + b"\0"]
    for part in tries:
        envelope = replace(request.envelope, parts={"report": part})
        reply = live.send(request_body(live.trust(), request.keys, request.nonce, envelope))
        assert (reply.status, problem(reply)["check_id"]) == (400, "sev-snp.decode.report")

    assert len(live.records()) == before
    assert "Traceback" not in live.log()
    assert live.send(request.body).status == 200


def test_garbage_in_endorsements_is_malformed(live: LiveVerifier) -> None:
    random, request = seeded("endorsements"), live.prepare()
    for name, good in request.envelope.endorsements.items():
        for bad in (b"", good[:-1], good + b"\0", good[: random.randrange(1, len(good))], random.randbytes(300)):
            envelope = replace(request.envelope, endorsements={**request.envelope.endorsements, name: bad})
            reply = live.send(request_body(live.trust(), request.keys, request.nonce, envelope))
            assert (reply.status, problem(reply)["check_id"]) == (400, f"sev-snp.endorsement.{name}")

    assert "Traceback" not in live.log()


def test_no_secret_reaches_the_log(live: LiveVerifier) -> None:
    token = live.attest().token

    assert token not in live.log()
    assert token.rsplit(".", 1)[1] not in live.log()


def test_an_old_answer_key_set_is_not_accepted_by_an_image_that_pins_a_newer_one(live: LiveVerifier) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        live.attest(live.trust(root_lowest_seq=2))

    assert caught.value.check_id == "answer.seq"
