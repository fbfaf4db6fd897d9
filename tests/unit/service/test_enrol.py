"""Enrolment on a real store by a clock that the test moves, and an operator who withdraws in the worst moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from forge.tpm2 import SimulatedTpm, make_ca, make_tpm
from tests.support.keyfiles import KeyFolder
from tests.support.service import House, house
from tests.support.stores import clock_ms
from verifier.adapters.sql.store import SqlStore
from verifier.core.wire import EnrolmentProof, EnrolmentRequest
from verifier.formats.encoding import b64url, sha256
from verifier.formats.errors import EvidenceRejected
from verifier.formats.x509chain import Anchor
from verifier.service.enrol import Enrolments
from verifier.service.parts import Parts

pytestmark = pytest.mark.slow

TPM = make_tpm()


@pytest.fixture
def home(tmp_path: Path, simulated_keys: KeyFolder) -> Iterator[House]:
    with house(tmp_path, key_folder=simulated_keys) as made:
        made.store.add_eks("default", [TPM.ek_digest])
        yield made


def parts_of(home: House, **changes: Any) -> Parts:
    """Return the house's parts with the forged TPM vendor trusted."""
    return replace(home.parts, anchors={"tpm2": (Anchor("forged", make_ca().root_der, "simulated"),)}, **changes)


def proof_of(enrolments: Enrolments, tpm: SimulatedTpm = TPM, ticket: str | None = None) -> EnrolmentProof:
    """Ask, and let the TPM open the credential."""
    request = EnrolmentRequest(
        tenant="default",
        ek_chain=tuple(b64url(der) for der in tpm.ek_chain),
        ek_public=b64url(tpm.ek_public),
        ak_public=b64url(tpm.ak_public),
        ticket=ticket,
    )
    made = enrolments.challenge(request)
    secret = tpm.activate(made.credential_blob, made.encrypted_secret)
    return EnrolmentProof(state=b64url(made.state), secret=b64url(secret))


def refused(enrolments: Enrolments, proof: EnrolmentProof, tpm: SimulatedTpm = TPM) -> str:
    with pytest.raises(EvidenceRejected) as caught:
        enrolments.enrol(tpm.ak_name, proof)
    return caught.value.check_id


@dataclass
class WithdrawingStore:
    """A real store whose operator withdraws the EK right after it was asked whether that is listed."""

    store: SqlStore
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def is_ek_listed(self, tenant: str, ek_digest: bytes) -> bool:
        """Answer, and withdraw."""
        self.asked += 1
        answer = self.store.is_ek_listed(tenant, ek_digest)
        self.store.withdraw_ek(tenant, ek_digest)
        return answer


def test_a_proof_is_good_for_two_minutes_and_not_longer(home: House) -> None:
    enrolments = Enrolments(parts_of(home))
    proof = proof_of(enrolments)
    home.clock.offset_ms = 121_000
    assert refused(enrolments, proof) == "tpm2.enrolment.expired"
    assert home.store.find_ak("default", TPM.ak_name) is None

    home.clock.offset_ms = 110_000
    assert enrolments.enrol(TPM.ak_name, proof) == "default"


def test_nothing_is_written_before_the_proof(home: House) -> None:
    home.seen.clear()
    proof_of(Enrolments(parts_of(home)))

    assert set(home.seen) <= {"store.is_ek_listed", "store.ticket_is_open"}


def test_an_ek_withdrawn_between_the_question_and_the_write_does_not_enrol(home: House) -> None:
    proof = proof_of(Enrolments(parts_of(home)))
    store: Any = WithdrawingStore(home.store)

    assert refused(Enrolments(parts_of(home, store=store)), proof) == "tpm2.enrolment.admission"
    assert store.asked == 1
    assert home.store.find_ak("default", TPM.ak_name) is None


def test_a_withdrawn_ek_still_enters_with_a_ticket_and_spends_it(home: House) -> None:
    home.store.withdraw_ek("default", TPM.ek_digest)
    home.store.add_ticket("default", sha256(b"a ticket"), clock_ms(home.store) + 60_000)
    enrolments = Enrolments(parts_of(home))
    proof = proof_of(enrolments, ticket="a ticket")

    assert enrolments.enrol(TPM.ak_name, proof) == "default"
    assert refused(enrolments, proof) == "tpm2.enrolment.admission"


def test_without_an_anchor_for_tpms_nobody_enrols(home: House) -> None:
    """No vendor's root is built in: who enrols is the operator's word."""
    with pytest.raises(EvidenceRejected) as caught:
        proof_of(Enrolments(home.parts))
    assert caught.value.check_id == "tpm2.enrolment.ek-root"


def test_a_state_of_a_verifier_with_other_keys_is_refused(
    home: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with house(tmp_path_factory.mktemp("other")) as other:
        other.store.add_eks("default", [TPM.ek_digest])
        proof = proof_of(Enrolments(parts_of(other)))

    assert refused(Enrolments(parts_of(home)), proof) == "tpm2.enrolment.secret"
