"""Quotes of forged TPMs at a live verifier: only an enrolled TPM is known, and no bytes break anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

import jwt
import pytest

from attester.flow import request_body
from forge.bootlog import measured_boot
from forge.tpm2 import SimulatedTpm
from tests.support.live import problem, seeded
from tests.support.live_tpm import TPM_WORKLOAD, ForgedTpmProvider, TpmVerifier, fresh_tpm, refusal, tpm_verifier
from tools.demo.adversaries import Request, prepare
from verifier.formats.errors import EvidenceRejected

TPM = fresh_tpm("quoting")
PARTS = ("quote", "quote_sig", "pcrs", "eventlog", "ak_name")
TRIES = 60


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmVerifier]:
    with tpm_verifier(tmp_path_factory.mktemp("tpm2")) as made:
        made.allow(TPM)
        assert made.enrol(TPM).status_code == 204
        yield made


def prepared(verifier: TpmVerifier, tpm: SimulatedTpm = TPM, tenant: str = "default") -> Request:
    """A signed request with a wholesome quote that was not sent."""
    live = verifier.live
    trust = live.trust(TPM_WORKLOAD, tenant=tenant, issuer=live.folder.issuer(tenant))
    return prepare(trust, ForgedTpmProvider(tpm))


def sent_with(verifier: TpmVerifier, request: Request, name: str, part: bytes) -> tuple[int, str]:
    """Replace one part, sign the request anew as its sender may, and send it; returns status and check id."""
    envelope = replace(request.envelope, parts={**request.envelope.parts, name: part})
    body = request_body(verifier.live.trust(TPM_WORKLOAD), request.keys, request.nonce, envelope)
    return refusal(verifier.call("POST", "/v1/attestations", body, "application/jose"))


def test_a_quote_of_an_enrolled_tpm_yields_a_token_that_says_what_it_is(verifier: TpmVerifier) -> None:
    live = verifier.live
    live.provider = ForgedTpmProvider(TPM)  # type: ignore[assignment]
    claims = jwt.decode(live.attest(live.trust(TPM_WORKLOAD)).token, options={"verify_signature": False})

    assert (claims["tee"], claims["root"], claims["host_excluded"]) == ("tpm2", "simulated", "false")
    assert (claims["simulated"], claims["tenant"], claims["workload"]) == ("true", "default", TPM_WORKLOAD)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_cut_is_malformed(verifier: TpmVerifier, part: str) -> None:
    """Any truncation as one part of a well-signed request: 400 with the part's id (issue 3, must show, 5)."""
    request, before = prepared(verifier), len(verifier.live.records())
    whole = request.envelope.parts[part]
    random = seeded(f"cut {part}")
    # A log that is cut between events is well-formed: the next test's.
    boundaries = _boundaries() if part == "eventlog" else set()
    lengths = {0, 1, len(whole) - 1, *(random.randrange(len(whole)) for _ in range(TRIES))} - boundaries
    answers = {length: sent_with(verifier, request, part, whole[:length]) for length in sorted(lengths)}

    assert {length: got for length, got in answers.items() if got != (400, f"tpm2.decode.{part}")} == {}
    _nothing_happened(verifier, request, before)


def _boundaries() -> set[int]:
    total, found = 0, set()
    for event in measured_boot().events:
        total += len(event)
        found.add(total)
    return found


def test_a_log_that_is_cut_between_events_fails_its_replay(verifier: TpmVerifier) -> None:
    request, before = prepared(verifier), len(verifier.live.records())
    log = request.envelope.parts["eventlog"]
    cuts = sorted(_boundaries() - {len(log)})
    answers = {cut: sent_with(verifier, request, "eventlog", log[:cut]) for cut in cuts}

    assert len(cuts) == len(measured_boot().events) - 1
    assert {cut: got for cut, got in answers.items() if got != (403, "tpm2.eventlog.replay")} == {}
    _nothing_happened(verifier, request, before)


def _noise(random: Random, whole: bytes) -> Iterator[bytes]:
    for size in (1, 2, 33, 34, 64, len(whole), 5_000, 100_000):
        yield random.randbytes(size)
    for _ in range(TRIES):
        yield random.randbytes(random.randrange(1, 2 * len(whole)))


@pytest.mark.parametrize("part", PARTS)
def test_random_bytes_as_a_part_are_malformed(verifier: TpmVerifier, part: str) -> None:
    request, before = prepared(verifier), len(verifier.live.records())
    noise = _noise(seeded(f"noise {part}"), request.envelope.parts[part])
    answers = {data[:16].hex(): sent_with(verifier, request, part, data) for data in noise}

    # Bytes that do not begin as a TPM's structure are malformed under an id of their own.
    good = {(400, f"tpm2.decode.{part}"), *([(400, "tpm2.quote.magic")] if part == "quote" else [])}
    assert {start: got for start, got in answers.items() if got not in good} == {}
    _nothing_happened(verifier, request, before)


CHANGES: dict[str, Callable[[Random, bytes], bytes]] = {
    "a-byte-more": lambda _random, whole: whole + b"\0",
    "twice": lambda _random, whole: whole + whole,
    "a-byte-less-at-the-front": lambda _random, whole: whole[1:],
    "zeros": lambda _random, whole: bytes(len(whole)),
    "ones": lambda _random, whole: b"\xff" * len(whole),
    "deep-json": lambda _random, _whole: b"[" * 100_000,
    "noise-in-the-middle": lambda random, whole: whole[: len(whole) // 2] + random.randbytes(300),
}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_part_that_is_changed_is_refused_and_nothing_happens(
    verifier: TpmVerifier, part: str, change: Callable[[Random, bytes], bytes]
) -> None:
    """Some changes can still be read (a Name of zeros, a log of the same events twice): then a check says no."""
    request, before = prepared(verifier), len(verifier.live.records())
    status, check_id = sent_with(verifier, request, part, change(seeded(part), request.envelope.parts[part]))

    assert status in (400, 403)
    assert check_id.startswith(("tpm2.decode.", "tpm2.quote.magic") if status == 400 else "tpm2.")
    _nothing_happened(verifier, request, before)


def test_a_flipped_bit_anywhere_in_quote_or_signature_is_refused(verifier: TpmVerifier) -> None:
    request, random, before = prepared(verifier), seeded("flips"), len(verifier.live.records())
    for part in ("quote", "quote_sig"):
        whole = request.envelope.parts[part]
        for _ in range(TRIES):
            flipped = bytearray(whole)
            flipped[random.randrange(len(whole))] ^= 1 << random.randrange(8)
            status, check_id = sent_with(verifier, request, part, bytes(flipped))
            assert status in (400, 403)
            assert check_id.startswith(("tpm2.", "binding."))
    _nothing_happened(verifier, request, before)


def _nothing_happened(verifier: TpmVerifier, request: Request, before: int) -> None:
    """No record, no traceback, nobody died, and the nonce is still good for its one token."""
    live = verifier.live
    assert len(live.records()) == before
    assert "Traceback" not in live.log()
    assert "service.bug" not in live.admin("/metrics").text
    assert live.send(request.body).status == 200


def test_a_tpm_that_never_enrolled_is_not_known(verifier: TpmVerifier) -> None:
    request = prepared(verifier, fresh_tpm("a stranger"))
    before = len(verifier.live.records())

    answer = problem(verifier.live.send(request.body))
    assert (answer["status"], answer["check_id"]) == (403, "tpm2.ak.enrolled")
    assert len(verifier.live.records()) == before


def test_a_tpm_enrolled_for_one_tenant_is_unknown_to_another(verifier: TpmVerifier) -> None:
    request = prepared(verifier, tenant="acme")
    assert problem(verifier.live.send(request.body))["check_id"] == "tpm2.ak.enrolled"

    verifier.allow(TPM, "acme")
    assert verifier.enrol(TPM, tenant="acme").status_code == 204
    assert verifier.live.send(request.body).status == 200


def test_a_withdrawn_tpm_is_unknown_from_its_next_quote_on(verifier: TpmVerifier) -> None:
    tpm = fresh_tpm("withdrawn")
    verifier.allow(tpm)
    assert verifier.enrol(tpm).status_code == 204
    assert verifier.live.send(prepared(verifier, tpm).body).status == 200
    with verifier.live.folder.store() as store:
        store.withdraw_ek("default", tpm.ek_digest)

    assert problem(verifier.live.send(prepared(verifier, tpm).body))["check_id"] == "tpm2.ak.enrolled"
    assert refusal(verifier.enrol(tpm)) == (403, "tpm2.enrolment.admission")


def test_an_ak_that_names_another_enrolled_one_is_refused(verifier: TpmVerifier) -> None:
    """The Name in the evidence chooses the key that the quote has to verify with."""
    request = prepared(verifier, fresh_tpm("an impostor"))

    assert sent_with(verifier, request, "ak_name", TPM.ak_name) == (403, "tpm2.quote.signature")


def test_another_kernel_is_genuine_and_not_wanted(verifier: TpmVerifier) -> None:
    request = prepared(verifier, TPM.booted(measured_boot(kernel=b"another kernel")))

    assert problem(verifier.live.send(request.body))["check_id"] == "policy.refused"
    assert verifier.live.records()[-1].check_id.startswith("tpm2.workload.")


def test_the_attester_hears_the_same_words(verifier: TpmVerifier) -> None:
    live = verifier.live
    live.provider = ForgedTpmProvider(fresh_tpm("a stranger"))  # type: ignore[assignment]
    with pytest.raises(EvidenceRejected) as caught:
        live.attest(live.trust(TPM_WORKLOAD))

    assert caught.value.check_id == "tpm2.ak.enrolled"
    assert live.admin("/livez").status_code == 200
