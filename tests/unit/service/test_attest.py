"""The staircase on real parts: nobody writes before step 5, nothing is spent while no verdict is possible, one token a nonce."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest

from attester.flow import request_body
from tests.support.keyfiles import KeyFolder, make_key_folder
from tests.support.service import PLACE, Asked, House, house
from tests.support.signing import BASE_URL
from tools.demo.forged import FORGED_WORKLOAD, forged_documents
from verifier.core import wire
from verifier.core.binding import make_nonce
from verifier.core.envelope import Envelope
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected
from verifier.tee.sev_snp.layout import SIGNED

pytestmark = pytest.mark.slow

DAY_MS = 86_400_000
DEBUG = 1 << 19
# Reading the epoch, and keeping the mark of a CRL that nobody has used yet: all that may be done for nobody.
READS = {"store.epoch", "store.raise_high_water"}


@pytest.fixture(scope="module")
def real_keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    return make_key_folder(tmp_path_factory.mktemp("keys") / "r", simulated=False, now=int(time.time()) - 3600)


@pytest.fixture
def home(tmp_path: Path, simulated_keys: KeyFolder) -> Iterator[House]:
    with house(tmp_path, key_folder=simulated_keys) as made:
        yield made


def refused(home: House, asked: Asked) -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        home.service.attest(asked.body)
    return caught.value


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def test_a_yes_looks_for_keys_then_commits_once_then_signs(home: House) -> None:
    asked = home.request()
    done = home.did(asked)

    order = [step for step in done if step not in READS]
    assert order == [
        "keys.signing_key",
        "keys.answer_key",
        "store.commit_verdict:accepted",
        "sign:token",
        "sign:answer",
    ]
    assert len(home.records()) == 1


def test_the_answer_opens_for_whoever_asked_and_its_token_has_a_record(home: House) -> None:
    asked = home.request()
    outcome = home.service.attest(asked.body, "192.0.2.7")
    claims = claims_of(asked.open(outcome.answer).token)

    record = home.store.record(outcome.seq)
    assert record is not None
    assert (record.jti, record.source, record.outcome) == (claims["jti"], "192.0.2.7", "accepted")
    assert record.token_expires_ms == claims["exp"] * 1000


def test_a_no_of_step_6_commits_once_and_signs_nothing(home: House) -> None:
    asked = home.request(home.trust(workload="nobody"))
    with pytest.raises(EvidenceRejected, match="not wanted"):
        home.did(asked)

    assert [step for step in home.seen if step not in READS] == ["store.commit_verdict:refused"]
    assert refused(home, asked).check_id == "service.nonce.spent"


def with_report(home: House, asked: Asked, report: bytes, scheme: str = "sev-snp") -> Asked:
    """Sign the request anew around another report, as its sender may."""
    envelope = Envelope(scheme, {"report": report}, home.chip.endorsements())
    return replace(asked, body=request_body(asked.trust, asked.keys, asked.nonce, envelope))


def report_of(asked: Asked) -> bytes:
    return wire.parse(asked.body).evidence.unverified_parts["report"]


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes((data[position] ^ 1,)) + data[position + 1 :]


# What is wrong, from the first step to the last one that leaves nothing behind.
EARLY: dict[str, tuple[Callable[[House, Asked], Asked], str]] = {
    "bytes": (lambda _home, asked: replace(asked, body=b"garbage"), "wire.jws"),
    "signature": (lambda _home, asked: replace(asked, body=asked.body[:-86] + b"A" * 86), "wire.signature"),
    "tenant": (lambda home, asked: home.request(home.trust(tenant="elsewhere"), nonce=asked.nonce), "service.tenant"),
    "nonce": (lambda home, asked: home.request(nonce=flipped(asked.nonce, 63)), "service.nonce.mac"),
    "scheme": (lambda home, asked: with_report(home, asked, report_of(asked), "sgx-9"), "wire.evidence.scheme"),
    "decode": (lambda home, asked: with_report(home, asked, b"short"), "sev-snp.decode.report"),
    "binding": (lambda home, asked: with_report(home, asked, report_of(home.request())), "binding.user-data"),
    "check": (
        lambda home, asked: with_report(home, asked, flipped(report_of(asked), SIGNED[1])),
        "sev-snp.report.signature",
    ),
}


@pytest.mark.parametrize(("change", "check_id"), EARLY.values(), ids=EARLY.keys())
def test_nothing_is_written_and_no_key_is_touched_before_step_5_is_through(
    home: House, change: Callable[[House, Asked], Asked], check_id: str
) -> None:
    asked = home.request()
    with pytest.raises(BridgeError) as caught:
        home.did(change(home, asked))

    assert caught.value.check_id == check_id
    assert set(home.seen) <= READS
    assert home.records() == []
    assert home.service.attest(asked.body).seq == 1


def test_endorsements_are_not_looked_for_before_the_user_data_is_compared(home: House) -> None:
    """Evidence made for somebody else must not make the verifier read files or, later, fetch."""
    (home.endorsements / "sev-snp" / "crl" / "Milan.der").unlink()

    asked = with_report(home, home.request(), report_of(home.request()))

    assert refused(home, asked).check_id == "binding.user-data"


def test_a_missing_crl_cannot_be_decided_and_does_not_spend_the_nonce(home: House) -> None:
    crl = home.endorsements / "sev-snp" / "crl" / "Milan.der"
    kept, asked = crl.read_bytes(), home.request()
    crl.unlink()
    error = refused(home, asked)
    assert isinstance(error, CannotDecide)
    assert (error.check_id, error.retry_after > 0) == ("sev-snp.endorsement.crl", True)
    assert home.records() == []

    crl.write_bytes(kept)
    assert asked.open(home.service.attest(asked.body).answer).token
    assert refused(home, asked).check_id == "service.nonce.spent"


def test_a_crl_past_its_time_cannot_be_decided_either(home: House) -> None:
    now = home.chip.now
    asked = home.request()
    home.put_crl(number=2, validity=(now - 40 * 86_400, now - 86_400))
    error = refused(home, asked)

    assert isinstance(error, CannotDecide)
    assert error.check_id.startswith("sev-snp.")
    home.put_crl(number=3)
    assert home.service.attest(asked.body).seq == 1


@pytest.mark.parametrize(
    ("missing", "check_id"), [("signing_key", "service.keys"), ("answer_key", "service.keys.answer")]
)
def test_without_a_key_nothing_is_spent(home: House, missing: str, check_id: str) -> None:
    asked = home.request()
    home.keys.missing = frozenset({missing})
    error = refused(home, asked)
    assert isinstance(error, CannotDecide)
    assert error.check_id == check_id
    assert home.records() == []

    home.keys.missing = frozenset()
    assert home.service.attest(asked.body).seq == 1


@pytest.mark.parametrize("offset_ms", [-60_000, -8_000, 8_000, 60_000])
def test_a_clock_off_the_stores_cannot_decide_and_writes_no_record(home: House, offset_ms: int) -> None:
    home.clock.offset_ms = offset_ms
    asked = home.request()
    error = refused(home, asked)
    assert isinstance(error, CannotDecide)
    assert error.check_id == "service.clock"
    assert home.records() == []


@pytest.mark.parametrize("offset_ms", [-2_000, 4_000])
def test_a_clock_within_the_skew_decides(home: House, offset_ms: int) -> None:
    home.clock.offset_ms = offset_ms

    assert home.service.attest(home.request().body).seq == 1


def test_a_clock_before_the_last_record_cannot_decide(home: House) -> None:
    home.clock.offset_ms = 4_000
    assert home.service.attest(home.request().body).seq == 1
    home.clock.offset_ms = -4_000

    assert refused(home, home.request()).check_id == "service.clock"


def test_a_nonce_dies_after_two_minutes(home: House) -> None:
    asked = home.request()
    home.clock.offset_ms = 121_000

    assert refused(home, asked).check_id == "service.nonce.expired"


def test_a_nonce_from_the_future_is_refused(home: House) -> None:
    home.clock.offset_ms = 60_000
    asked = home.request()
    home.clock.offset_ms = 0

    assert refused(home, asked).check_id == "service.nonce.expired"


def _nonce(home: House, *, day: int = 0, issuer: str = f"{BASE_URL}/t/default", **changes: Any) -> bytes:
    """Make a nonce as a verifier with the same master secret does, with the key of another day."""
    now_ms = home.clock.now_ms()
    key_id, key = home.parts.challenge_keys.current(now_ms + day * DAY_MS)
    values = {"tenant": "default", "workload": FORGED_WORKLOAD, "now_ms": now_ms, "random": bytes(28), **changes}
    return make_nonce(key, key_id=key_id, epoch=home.store.epoch(), issuer=issuer, **values)


def test_a_nonce_under_yesterdays_key_is_good_for_its_two_minutes(home: House) -> None:
    assert home.service.attest(home.request(nonce=_nonce(home, day=-1)).body).seq == 1


@pytest.mark.parametrize("day", [-2, -255, 2])
def test_a_nonce_under_an_older_or_a_coming_key_was_not_issued_here(home: House, day: int) -> None:
    assert refused(home, home.request(nonce=_nonce(home, day=day))).check_id == "service.nonce.mac"


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "acme"},
        {"workload": "another"},
        {"issuer": f"{BASE_URL}/t/acme"},
        {"issuer": "https://elsewhere.example/t/default"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_nonce_for_another_tenant_workload_or_issuer_is_refused(home: House, changes: dict[str, Any]) -> None:
    assert refused(home, home.request(nonce=_nonce(home, **changes))).check_id == "service.nonce.mac"


def test_evidence_bound_to_another_issuer_is_refused(home: House) -> None:
    nonce = home.service.challenge("default", FORGED_WORKLOAD)[0]
    asked = home.request(home.trust(issuer="https://elsewhere.example/t/default"), nonce=nonce)

    assert refused(home, asked).check_id == "binding.user-data"


def test_a_raised_epoch_voids_what_was_issued_before(home: House) -> None:
    asked = home.request()
    home.store.raise_epoch()
    home.clock.offset_ms = 1_500  # the service reads the epoch at most once a second

    assert refused(home, asked).check_id == "service.nonce.epoch"
    assert home.service.attest(home.request().body).seq == 1


def test_a_challenge_for_a_tenant_that_is_not_served_is_refused(home: House) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        home.service.challenge("elsewhere", FORGED_WORKLOAD)
    assert caught.value.check_id == "service.tenant"


def test_a_challenge_for_an_unknown_workload_looks_like_any_other_and_stores_nothing(home: House) -> None:
    home.seen.clear()
    known, unknown = home.service.challenge("default", FORGED_WORKLOAD), home.service.challenge("default", "nobody")

    assert (len(known[0]), known[1]) == (len(unknown[0]), unknown[1]) == (64, 120)
    assert set(home.seen) <= {"store.epoch"}


def test_every_refusal_of_step_6_is_told_alike_and_recorded_apart(home: House) -> None:
    told = [
        refused(home, home.request(home.trust(workload="nobody"))),
        refused(home, home.request(home.trust(audience="vault/elsewhere"))),
        refused(home, home.request(measurement=bytes(48))),
        refused(home, home.request(host_data=b"\1" * 32)),
        refused(home, home.request(policy=0x3001F | DEBUG)),
    ]

    assert {(error.check_id, error.detail) for error in told} == {("policy.refused", told[0].detail)}
    recorded = [record.check_id for record in home.records()]
    assert recorded[:2] == ["policy.workload", "policy.audience"]
    assert recorded[4] == "sev-snp.policy.debug"
    assert len(set(recorded)) == len(recorded)
    for record in home.records():
        failed = [finding["rule"] for finding in json.loads(record.findings) if not finding["ok"]]
        assert record.check_id in failed


def _disabled() -> list[dict[str, Any]]:
    return [{**one, "state": "disabled"} if one["document"] == "workload" else one for one in forged_documents(PLACE)]


def test_a_disabled_workload_is_refused_like_an_unknown_one(tmp_path: Path, simulated_keys: KeyFolder) -> None:
    with house(tmp_path, documents=_disabled(), key_folder=simulated_keys) as home:
        assert refused(home, home.request()).check_id == "policy.refused"
        assert home.records()[0].check_id == "policy.workload.state"


def _debuggable() -> list[dict[str, Any]]:
    exceptions = {"exceptions": {"allow_debug": True}}
    return [{**one, **exceptions} if one["document"] == "policy" else one for one in forged_documents(PLACE)]


@pytest.mark.parametrize("fields", [{"policy": 0x3001F | DEBUG}, {}], ids=["debugged", "not-debugged"])
def test_a_policy_that_allows_debug_mints_nothing_in_a_production_process(
    tmp_path: Path, real_keys: KeyFolder, fields: dict[str, Any]
) -> None:
    with house(tmp_path, simulated=False, root="private", documents=_debuggable(), key_folder=real_keys) as home:
        assert refused(home, home.request(**fields)).check_id == "policy.refused"
        assert [record.check_id for record in home.records()] == ["policy.debug"]
        assert "sign:token" not in home.seen


def test_a_policy_that_allows_debug_mints_in_a_simulated_process(tmp_path: Path, simulated_keys: KeyFolder) -> None:
    with house(tmp_path, documents=_debuggable(), key_folder=simulated_keys) as home:
        asked = home.request(policy=0x3001F | DEBUG)
        claims = claims_of(asked.open(home.service.attest(asked.body).answer).token)
        assert (claims["dbgstat"], claims["simulated"]) == ("enabled", "true")


def test_a_production_process_mints_for_an_operators_own_root(tmp_path: Path, real_keys: KeyFolder) -> None:
    """The vectors beside this one fail for the one thing that they change."""
    with house(tmp_path, simulated=False, root="private", key_folder=real_keys) as home:
        asked = home.request()
        claims = claims_of(asked.open(home.service.attest(asked.body).answer).token)
        assert (claims["root"], claims["simulated"]) == ("private", "false")


@pytest.mark.parametrize(("simulated", "root"), [(False, "simulated"), (True, "private"), (True, "vendor")])
def test_a_root_that_is_not_this_processs_kind_mints_nothing(
    tmp_path: Path,
    simulated_keys: KeyFolder,
    real_keys: KeyFolder,
    simulated: bool,  # noqa: FBT001
    root: Any,
) -> None:
    keys = simulated_keys if simulated else real_keys
    with house(tmp_path, simulated=simulated, root=root, key_folder=keys) as home:
        assert refused(home, home.request()).check_id == "policy.refused"
        assert [record.check_id for record in home.records()] == ["policy.root"]
        assert not [step for step in home.seen if step.startswith("sign:")]
