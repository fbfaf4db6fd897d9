"""Listing and withdrawing TPMs, on both databases."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from tests.support.stores import SEALER
from tests.support.verdicts import make_verdict
from verifier.adapters.sql.store import SqlStore, open_store
from verifier.core.ports import EnrolledAk
from verifier.formats.errors import EvidenceRejected

EK = b"\x08" * 32
AK = EnrolledAk(
    tenant="default",
    ak_name=b"\x00\x0b" + b"\x07" * 32,
    ak_public=b"public",
    ek_public_digest=EK,
    ek_name=b"\x00\x0b" + b"\x09" * 32,
    root="private",
    enrolled_at_ms=1_700_000_000_000,
)
YOUNGER = dataclasses.replace(AK, ak_name=b"\x00\x0b" + b"\x01" * 32, enrolled_at_ms=1_700_000_000_001)
ELSEWHERE = dataclasses.replace(AK, tenant="acme")


def test_a_tenants_keys_are_listed_by_age_and_its_eks_by_digest(store: SqlStore) -> None:
    for ak in (YOUNGER, AK, ELSEWHERE):
        store.enrol_ak(ak, None)
    store.add_eks("default", [b"\x09" * 32, EK])

    assert store.enrolled_aks("default") == [AK, YOUNGER]
    assert store.listed_eks("default") == [EK, b"\x09" * 32]
    assert (store.enrolled_aks("nobody"), store.listed_eks("acme")) == ([], [])


def test_an_ak_is_withdrawn_alone_and_an_ek_with_its_aks(store: SqlStore) -> None:
    for ak in (YOUNGER, AK, ELSEWHERE):
        store.enrol_ak(ak, None)
    store.add_eks("default", [EK])
    assert store.withdraw_ak("default", YOUNGER.ak_name) == 1
    assert store.withdraw_ak("default", YOUNGER.ak_name) == 0
    assert (store.enrolled_aks("default"), store.is_ek_listed("default", EK)) == ([AK], True)

    assert store.withdraw_ek("default", EK) == 2
    assert store.withdraw_ek("default", EK) == 0
    assert (store.enrolled_aks("default"), store.listed_eks("default")) == ([], [])
    assert store.find_ak("acme", AK.ak_name) == ELSEWHERE


def test_an_ak_whose_ek_must_be_listed_is_not_written_otherwise(store: SqlStore) -> None:
    store.add_eks("acme", [EK])
    with pytest.raises(EvidenceRejected) as caught:
        store.enrol_ak(AK, None, must_be_listed=True)
    assert caught.value.check_id == "tpm2.enrolment.admission"
    assert store.find_ak("default", AK.ak_name) is None

    store.add_eks("default", [EK])
    store.enrol_ak(AK, None, must_be_listed=True)
    assert store.find_ak("default", AK.ak_name) == AK


def test_no_ak_outlives_the_withdrawal_of_its_ek(store: SqlStore, url: str) -> None:
    """Enrolments and a withdrawal at once, again and again: when all are done, no AK of that EK is left."""
    other = open_store(url, SEALER)
    for round_ in range(20):
        store.add_eks("default", [EK])
        start = threading.Barrier(2)

        def enrol(number: int = round_, barrier: threading.Barrier = start) -> None:
            barrier.wait()
            ak = dataclasses.replace(AK, ak_name=b"\x00\x0b" + bytes((number,)) * 32)
            try:
                store.enrol_ak(ak, None, must_be_listed=True)
            except EvidenceRejected as error:
                assert error.check_id == "tpm2.enrolment.admission"  # noqa: PT017 - either may win

        thread = threading.Thread(target=enrol)
        thread.start()
        start.wait()
        other.withdraw_ek("default", EK)
        thread.join()
        assert store.enrolled_aks("default") == []
    other.close()


def test_the_head_is_where_the_chain_ends(store: SqlStore) -> None:
    assert (store.head().seq, store.head().digest) == (0, bytes(32))
    last = [store.commit_verdict(make_verdict()) for _ in range(3)][-1]

    assert store.head() == last == store.verify_chain()
