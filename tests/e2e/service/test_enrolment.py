"""TPM enrolment over HTTP: who gets in, and a no for every way that must not lead in. Nothing is stored before the proof."""

from __future__ import annotations

import datetime as dt
import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Literal

import pytest
import requests
from cryptography import x509
from sqlalchemy import text

from attester.enrol import enrol as attester_enrol
from attester.flow import verifier_client
from attester.providers import EnrolmentIdentity
from forge.tpm2 import EK_ATTRIBUTES, SimulatedTpm, ak_public, ek_public, make_ca, make_tpm, new_key
from tests.support.live_tpm import (
    ENROLMENTS,
    TPM_WORKLOAD,
    TpmVerifier,
    activated,
    fresh_tpm,
    refusal,
    tpm_verifier,
)
from tests.support.stores import clock_ms
from verifier.formats.encoding import b64url, canonical, sha256, unb64url
from verifier.tee.tcg.layout import SHA1
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.tee.tpm2.layout import RESTRICTED, SIGN, encode_public

TPM = fresh_tpm("enrolling")
OTHER = fresh_tpm("another one")
DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmVerifier]:
    with tpm_verifier(tmp_path_factory.mktemp("enrolment")) as made:
        made.allow(TPM)
        yield made


def open_ticket(verifier: TpmVerifier, ticket: str, *, life_ms: int = DAY_MS, tenant: str = "default") -> str:
    with verifier.live.folder.store() as store:
        store.add_ticket(tenant, sha256(ticket.encode()), clock_ms(store) + life_ms)
    return ticket


def forged_proof(verifier: TpmVerifier, **changes: Any) -> dict[str, str]:
    """Make a proof with the service's own HMAC key: a state that no challenge gave out, under a right MAC."""
    state: dict[str, Any] = {
        "expires_at": str(int(time.time() * 1000) + 120_000),
        "tenant": "default",
        "ek_public": b64url(TPM.ek_public),
        "ak_public": b64url(TPM.ak_public),
        "ticket_hash": "",
        **changes,
    }
    return signed_state(verifier, canonical(state))


def signed_state(verifier: TpmVerifier, state: bytes) -> dict[str, str]:
    secret = hmac.digest(verifier.enrolment_key(), b"vab-tpm2-enrol/v1\x00" + state, "sha256")
    return {"state": b64url(state), "secret": b64url(secret)}


@pytest.mark.parametrize("ek", ["ecc", "rsa", "ecc-p384"])
@pytest.mark.parametrize("ak", ["ecc", "rsa"])
def test_a_listed_tpm_enrols_and_nothing_is_stored_before_the_proof(
    verifier: TpmVerifier, ek: Literal["ecc", "rsa", "ecc-p384"], ak: Literal["ecc", "rsa"]
) -> None:
    tpm = make_tpm(ak, ek_kind=ek, label=f"happy {ek} {ak}")
    verifier.allow(tpm)
    challenge = verifier.ask(tpm)
    assert (challenge.status_code, challenge.json()["expires_in"]) == (200, 120)
    assert not verifier.is_enrolled(tpm)

    done = verifier.prove(tpm, activated(tpm, challenge.json()))
    assert (done.status_code, done.content) == (204, b"")
    with verifier.live.folder.store() as store:
        kept = store.find_ak("default", tpm.ak_name)
    assert kept is not None
    assert (kept.ak_public, kept.ek_public_digest, kept.root) == (tpm.ak_public, tpm.ek_digest, "simulated")
    assert not verifier.is_enrolled(tpm, "acme")


def test_an_issuing_ca_between_root_and_ek_is_walked(verifier: TpmVerifier) -> None:
    tpm = make_tpm(label="issued", ca=make_ca(intermediate=True))
    verifier.allow(tpm)

    assert verifier.enrol(tpm).status_code == 204


def test_the_attester_walks_it_too(verifier: TpmVerifier) -> None:
    tpm = fresh_tpm("attester's own")
    verifier.allow(tpm)

    class Enrollable:
        def enrolment_identity(self, chain_file: str = "") -> EnrolmentIdentity:
            del chain_file
            return EnrolmentIdentity(tpm.ek_chain, tpm.ek_public, tpm.ak_public, tpm.ak_name, tpm.ek_digest)

        def activate(self, blob: bytes, secret: bytes, chain_file: str = "") -> bytes:
            del chain_file
            return tpm.activate(blob, secret)

    trust = verifier.live.trust(TPM_WORKLOAD)
    attester_enrol(verifier_client(trust), trust, Enrollable())  # type: ignore[arg-type]
    assert verifier.is_enrolled(tpm)


def test_a_vendors_chain_alone_is_never_enough(verifier: TpmVerifier) -> None:
    assert refusal(verifier.ask(fresh_tpm("unlisted"))) == (403, "tpm2.enrolment.admission")


def test_an_ek_listed_for_one_tenant_does_not_enrol_for_another(verifier: TpmVerifier) -> None:
    assert refusal(verifier.ask(TPM, tenant="acme")) == (403, "tpm2.enrolment.admission")


def test_a_ticket_lets_one_tpm_in_once(verifier: TpmVerifier) -> None:
    ticket, first, second = open_ticket(verifier, "once"), fresh_tpm("first"), fresh_tpm("second")
    held = verifier.ask(second, ticket=ticket)
    assert held.status_code == 200
    assert verifier.enrol(first, ticket=ticket).status_code == 204

    assert refusal(verifier.prove(second, activated(second, held.json()))) == (403, "tpm2.enrolment.admission")
    assert refusal(verifier.ask(second, ticket=ticket)) == (403, "tpm2.enrolment.admission")
    assert not verifier.is_enrolled(second)


def test_a_listed_tpm_does_not_use_up_the_ticket_that_it_brings(verifier: TpmVerifier) -> None:
    ticket = open_ticket(verifier, "not needed")
    assert verifier.enrol(TPM, ticket=ticket).status_code == 204

    assert verifier.enrol(fresh_tpm("needs it"), ticket=ticket).status_code == 204


def test_of_eight_tpms_with_one_ticket_at_once_exactly_one_gets_in(verifier: TpmVerifier) -> None:
    ticket = open_ticket(verifier, "fought over")
    tpms = [fresh_tpm(f"racer {number}") for number in range(8)]
    proofs = [activated(tpm, verifier.ask(tpm, ticket=ticket).json()) for tpm in tpms]
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda pair: _alone(verifier, *pair), zip(tpms, proofs, strict=True)))

    assert sorted(reply.status_code for reply in replies) == [204, *[403] * 7]
    lost = {refusal(reply)[1] for reply in replies if reply.status_code != 204}
    assert lost <= {"tpm2.enrolment.ticket", "tpm2.enrolment.admission"}
    assert [verifier.is_enrolled(tpm) for tpm in tpms] == [reply.status_code == 204 for reply in replies]


def test_one_proof_sent_by_eight_threads_spends_its_ticket_once(verifier: TpmVerifier) -> None:
    ticket, tpm = open_ticket(verifier, "one proof"), fresh_tpm("impatient")
    proof = activated(tpm, verifier.ask(tpm, ticket=ticket).json())
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _n: _alone(verifier, tpm, proof), range(8)))

    assert sorted(reply.status_code for reply in replies) == [204, *[403] * 7]
    assert verifier.is_enrolled(tpm)


def _alone(verifier: TpmVerifier, tpm: SimulatedTpm, proof: Mapping[str, Any]) -> requests.Response:
    """PUT on a connection of its own: a session is not for many threads."""
    with verifier.live.folder.session() as session:
        return replace(verifier, session=session).prove(tpm, proof)


@pytest.mark.parametrize("ticket", ["never opened", "", "x" * 128])
def test_a_ticket_that_is_unknown_opens_nothing(verifier: TpmVerifier, ticket: str) -> None:
    assert refusal(verifier.ask(fresh_tpm("guessing"), ticket=ticket)) == (403, "tpm2.enrolment.admission")


def test_an_expired_ticket_opens_nothing(verifier: TpmVerifier) -> None:
    ticket = open_ticket(verifier, "too old", life_ms=-1)

    assert refusal(verifier.ask(fresh_tpm("late"), ticket=ticket)) == (403, "tpm2.enrolment.admission")


def test_a_ticket_that_expires_before_the_proof_comes_opens_nothing(verifier: TpmVerifier) -> None:
    tpm = fresh_tpm("slow")
    ticket = open_ticket(verifier, "short")
    proof = activated(tpm, verifier.ask(tpm, ticket=ticket).json())
    with verifier.live.folder.store() as store, store._database.write() as connection:
        connection.execute(text("UPDATE tpm_tickets SET expires_ms = expires_ms - :age"), {"age": DAY_MS + 1})
    with verifier.live.folder.store() as store:
        store.mend_seals("a test that does not wait for a day", keep=True)

    assert refusal(verifier.prove(tpm, proof)) == (403, "tpm2.enrolment.admission")
    assert not verifier.is_enrolled(tpm)


def test_a_ticket_of_another_tenant_opens_nothing(verifier: TpmVerifier) -> None:
    ticket = open_ticket(verifier, "acme's", tenant="acme")

    assert refusal(verifier.ask(fresh_tpm("elsewhere"), ticket=ticket)) == (403, "tpm2.enrolment.admission")


def test_an_ek_taken_off_the_list_before_the_proof_comes_does_not_enrol(verifier: TpmVerifier) -> None:
    tpm = fresh_tpm("taken off")
    verifier.allow(tpm)
    proof = activated(tpm, verifier.ask(tpm).json())
    with verifier.live.folder.store() as store:
        store.withdraw_ek("default", tpm.ek_digest)

    assert refusal(verifier.prove(tpm, proof)) == (403, "tpm2.enrolment.admission")


EXPIRED = {"expires_at": "1700000000000"}
STATES: dict[str, tuple[dict[str, Any], int, str]] = {
    "expired": (EXPIRED, 403, "tpm2.enrolment.expired"),
    "unlisted-ek": ({"ek_public": b64url(OTHER.ek_public)}, 403, "tpm2.enrolment.admission"),
    "another-ak": ({"ak_public": b64url(OTHER.ak_public)}, 403, "tpm2.enrolment.ak-name"),
    "unknown-member": ({"colour": "red"}, 400, "tpm2.enrolment.state"),
    "tenant-that-is-no-name": ({"tenant": "+"}, 400, "tpm2.enrolment.state"),
    "no-base64": ({"ak_public": "A"}, 400, "tpm2.enrolment.state"),
}


@pytest.mark.parametrize(("changes", "status", "check_id"), STATES.values(), ids=STATES.keys())
def test_a_state_is_judged_also_under_a_right_mac(
    verifier: TpmVerifier, changes: dict[str, Any], status: int, check_id: str
) -> None:
    assert refusal(verifier.prove(TPM, forged_proof(verifier, **changes))) == (status, check_id)


def test_a_forged_state_with_nothing_wrong_would_have_got_in(verifier: TpmVerifier) -> None:
    """The vectors above fail for the one thing that they change."""
    assert verifier.prove(TPM, forged_proof(verifier)).status_code == 204


@pytest.mark.parametrize("state", [b"", b"{}", b"[]", b"\xff" * 40, b"[" * 40_000], ids=["0", "{}", "[]", "ff", "deep"])
def test_a_state_that_is_none_is_malformed_also_under_a_right_mac(verifier: TpmVerifier, state: bytes) -> None:
    assert refusal(verifier.prove(TPM, signed_state(verifier, state))) == (400, "tpm2.enrolment.state")


def _without_a_right_mac() -> dict[str, Callable[[dict[str, str]], dict[str, str]]]:
    def with_state(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, str]], dict[str, str]]:
        return lambda proof: {**proof, "state": b64url(canonical(change(json.loads(unb64url(proof["state"])))))}

    return {
        "another-tenant": with_state(lambda state: {**state, "tenant": "acme"}),
        "a-longer-life": with_state(lambda state: {**state, "expires_at": state["expires_at"] + "0"}),
        "another-ak": with_state(lambda state: {**state, "ak_public": b64url(OTHER.ak_public)}),
        "a-ticket": with_state(lambda state: {**state, "ticket_hash": "00" * 32}),
        "spaces-in-it": lambda proof: {**proof, "state": b64url(unb64url(proof["state"]) + b" ")},
        "no-state": lambda proof: {**proof, "state": ""},
        "secret-flipped": lambda proof: {**proof, "secret": b64url(bytes(31) + unb64url(proof["secret"])[-1:])},
        "secret-cut": lambda proof: {**proof, "secret": b64url(unb64url(proof["secret"])[:-1])},
        "secret-longer": lambda proof: {**proof, "secret": b64url(unb64url(proof["secret"]) + b"\0")},
        "no-secret": lambda proof: {**proof, "secret": ""},
    }


@pytest.mark.parametrize("change", _without_a_right_mac().values(), ids=_without_a_right_mac().keys())
def test_a_proof_whose_mac_does_not_fit_is_refused(
    verifier: TpmVerifier, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    tpm = fresh_tpm("tampering")
    verifier.allow(tpm)
    proof = activated(tpm, verifier.ask(tpm).json())

    assert refusal(verifier.prove(tpm, change(proof))) == (403, "tpm2.enrolment.secret")
    assert not verifier.is_enrolled(tpm)
    assert not verifier.is_enrolled(tpm, "acme")


def test_a_secret_of_another_challenge_is_refused(verifier: TpmVerifier) -> None:
    first, second = (activated(TPM, verifier.ask(TPM).json()) for _ in range(2))
    time.sleep(0.002)
    third = activated(TPM, verifier.ask(TPM).json())

    assert refusal(verifier.prove(TPM, {**first, "secret": third["secret"]})) == (403, "tpm2.enrolment.secret")
    assert verifier.prove(TPM, second).status_code == 204


@pytest.mark.parametrize("name", [OTHER.ak_name.hex(), "00", "000b" + "00" * 32])
def test_a_name_in_the_path_that_is_not_the_aks_is_refused(verifier: TpmVerifier, name: str) -> None:
    proof = activated(TPM, verifier.ask(TPM).json())

    assert refusal(verifier.call("PUT", f"{ENROLMENTS}/{name}", proof)) == (403, "tpm2.enrolment.ak-name")


@pytest.mark.parametrize("name", ["xyz", "0", "AB", "0%200b", TPM.ak_name.hex() + "%20", TPM.ak_name.hex().upper()])
def test_a_name_in_the_path_that_is_no_lower_case_hex_is_malformed(verifier: TpmVerifier, name: str) -> None:
    proof = activated(TPM, verifier.ask(TPM).json())

    assert refusal(verifier.call("PUT", f"{ENROLMENTS}/{name}", proof)) == (400, "tpm2.enrolment.ak-name")


def _chain(change: Callable[[x509.CertificateBuilder], x509.CertificateBuilder]) -> list[str]:
    return [b64url(make_ca().certify(TPM.ek.public_key(), change=change))]


def _certified(**options: Any) -> list[str]:
    return [b64url(make_ca().certify(TPM.ek.public_key(), **options))]


def _ak(attributes: int) -> str:
    return b64url(encode_public(ak_public(TPM.ak, attributes=attributes)))


def _unknown(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), critical=True)


SAME_NAME = make_ca("another root of the same name")
LONG_AGO = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
REQUESTS: dict[str, tuple[dict[str, Any], int, str]] = {
    "ak-unrestricted": ({"ak_public": _ak(TPM.ak_area.attributes & ~RESTRICTED)}, 403, "tpm2.enrolment.ak-attributes"),
    "ak-of-sha1": (
        {"ak_public": b64url(encode_public(replace(TPM.ak_area, name_algorithm=SHA1.id)))},
        403,
        "tpm2.enrolment.ak-attributes",
    ),
    "ak-cut": ({"ak_public": b64url(TPM.ak_public[:-1])}, 400, "tpm2.enrolment.ak-public"),
    "ak-empty": ({"ak_public": ""}, 400, "tpm2.enrolment.ak-public"),
    "ak-bad-base64": ({"ak_public": "A"}, 400, "tpm2.enrolment.ak-public"),
    "ek-cut": ({"ek_public": b64url(TPM.ek_public[:-1])}, 400, "tpm2.enrolment.ek-public"),
    "ek-bad-base64": ({"ek_public": "AB"}, 400, "tpm2.enrolment.ek-public"),
    "ek-without-symmetric": (
        {"ek_public": b64url(encode_public(replace(TPM.ek_area, symmetric=None)))},
        403,
        "tpm2.enrolment.ek-public",
    ),
    "ek-signs": (
        {"ek_public": b64url(encode_public(ek_public(TPM.ek, attributes=EK_ATTRIBUTES | SIGN)))},
        403,
        "tpm2.enrolment.ek-attributes",
    ),
    "ek-of-another-certificate": ({"ek_public": b64url(OTHER.ek_public)}, 403, "tpm2.enrolment.ek-key"),
    "certificate-of-another-ek": ({"ek_chain": [b64url(OTHER.ek_chain[0])]}, 403, "tpm2.enrolment.ek-key"),
    "chain-of-another-ca": (
        {"ek_chain": [b64url(make_ca("x", name="another root").certify(TPM.ek.public_key()))]},
        403,
        "tpm2.enrolment.ek-root",
    ),
    "chain-of-a-ca-of-the-same-name": (
        {"ek_chain": [b64url(SAME_NAME.certify(TPM.ek.public_key()))]},
        403,
        "tpm2.enrolment.ek-signature",
    ),
    "chain-with-its-own-root": (
        {"ek_chain": [b64url(SAME_NAME.certify(TPM.ek.public_key())), b64url(SAME_NAME.root_der)]},
        403,
        "tpm2.enrolment.ek-root",
    ),
    "chain-cut": ({"ek_chain": [b64url(TPM.ek_chain[0][:-1])]}, 400, "tpm2.enrolment.ek-chain"),
    "chain-of-noise": ({"ek_chain": [b64url(bytes(100))]}, 400, "tpm2.enrolment.ek-chain"),
    "chain-bad-base64": ({"ek_chain": ["A"]}, 400, "tpm2.enrolment.ek-chain"),
    "certificate-expired": ({"ek_chain": _certified(not_after=LONG_AGO)}, 403, "tpm2.enrolment.ek-validity"),
    "certificate-of-a-ca": ({"ek_chain": _certified(is_ca=True)}, 403, "tpm2.enrolment.ek-usage"),
    "critical-extension-unknown": ({"ek_chain": _chain(_unknown)}, 403, "tpm2.enrolment.ek-constraints"),
    "tenant-elsewhere": ({"tenant": "elsewhere"}, 403, "service.tenant"),
    "tenant-that-is-no-name": ({"tenant": "+"}, 400, "wire.body"),
    "no-chain": ({"ek_chain": []}, 400, "wire.body"),
    "chain-too-long": ({"ek_chain": [b64url(TPM.ek_chain[0])] * 7}, 400, "wire.body"),
    "chain-left-out": ({"ek_chain": None}, 400, "wire.body"),
    "not-base64": ({"ek_public": "+/=="}, 400, "wire.body"),
    "unknown-member": ({"colour": "red"}, 400, "wire.body"),
    "ticket-too-long": ({"ticket": "x" * 129}, 400, "wire.body"),
    "ticket-of-another-type": ({"ticket": 7}, 400, "wire.body"),
}
# Said by the pure part for what no request over HTTP leads to: its anchor names no CRL, and a ROCA key is a vector of its own.
PURE = {"tpm2.enrolment.ek-revoked", "tpm2.enrolment.ek-crl", "tpm2.enrolment.ek-roca"}


@pytest.mark.parametrize(("changes", "status", "check_id"), REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_that_does_not_hold_is_refused_by_name(
    verifier: TpmVerifier, changes: dict[str, Any], status: int, check_id: str
) -> None:
    assert refusal(verifier.ask(TPM, **changes)) == (status, check_id)


def test_every_id_of_the_scheme_has_a_vector_here() -> None:
    ids = {one for one in EnrolmentId if one.name.startswith(("EK_", "AK_"))} - {EnrolmentId.AK_NAME}

    assert ids - {check_id for _, _, check_id in REQUESTS.values()} == PURE


def test_a_key_that_only_claims_a_name_opens_no_credential(verifier: TpmVerifier) -> None:
    """The credential is for the AK's Name in the TPM of that EK: another TPM, or another object, gets nothing."""
    challenge = verifier.ask(TPM).json()
    blob, secret = unb64url(challenge["credential_blob"]), unb64url(challenge["encrypted_secret"])
    stolen = replace(TPM, ak_area=ak_public(new_key("ecc", "another object")))

    for thief in (stolen, replace(OTHER, ak_area=TPM.ak_area)):
        with pytest.raises(ValueError, match="integrity"):
            thief.activate(blob, secret)


def test_wrong_media_type_method_and_size_are_problems(verifier: TpmVerifier) -> None:
    path = f"{ENROLMENTS}/{TPM.ak_name.hex()}"
    found = [
        verifier.call("POST", ENROLMENTS, b"{}", "text/plain"),
        verifier.call("PUT", path, b"{}", "application/jose"),
        verifier.call("POST", ENROLMENTS, bytes(4 * 1024 * 1024 + 1)),
        verifier.call("GET", ENROLMENTS, b""),
        verifier.call("POST", path, b"{}"),
        verifier.call("PUT", f"{path}/more", b"{}"),
        verifier.call("POST", ENROLMENTS, b"no json"),
        verifier.call("PUT", path, b""),
    ]

    assert [refusal(reply)[0] for reply in found] == [415, 415, 413, 405, 405, 404, 400, 400]


def test_after_all_that_the_service_lives_and_wrote_no_traceback_and_no_secret(verifier: TpmVerifier) -> None:
    proof = activated(TPM, verifier.ask(TPM).json())
    ticket = open_ticket(verifier, "a ticket that must not be logged")
    assert verifier.enrol(fresh_tpm("the last one"), ticket=ticket).status_code == 204
    log = verifier.live.log()

    assert verifier.live.admin("/readyz").status_code == 200
    assert "Traceback" not in log
    assert ticket not in log
    assert proof["secret"] not in log
