"""Which set of trust documents may follow which."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Literal

import pytest

from verifier.appraise.lineage import (
    Found,
    Manifest,
    Memory,
    Successor,
    check_manifest,
    follow,
    is_meant,
    key_of,
    manifest_of,
    read_manifest,
    row_digest,
    set_digest,
)
from verifier.core.ports import TrustRow
from verifier.formats.errors import ConfigError, TrustRefused

DAY = 24 * 3600 * 1000
NOW = 1_780_000_000_000


def row(kind: Literal["identity", "policy", "workload"], name: str, version: int = 1, **more: Any) -> TrustRow:
    return TrustRow(kind, "acme", name, version, json.dumps({"version": version, **more}, sort_keys=True))


CHIPS, POLICY = row("identity", "chips"), row("policy", "default")
ON, OFF = row("workload", "pay", state="enabled"), row("workload", "pay", state="disabled")
OTHER = row("workload", "other", state="enabled")
OLD = (CHIPS, POLICY, ON)


def found(*rows: TrustRow, version: int = 0, was: bool = False) -> Found:
    return Found("/trust", set_digest(rows), rows, manifest_of(rows, version) if version else None, was_in_force=was)


def memory(*rows: TrustRow, replaced: tuple[TrustRow, ...] = (), **more: Any) -> Memory:
    digest = set_digest(rows)
    gone = {row_digest(one): (key_of(one), one.version) for one in replaced}
    return replace(Memory(7, digest, digest, rows, replaced=gone), **more)


def take(a: Found, m: Memory, *, accepted: bool = False, now_ms: int | None = NOW, grace_ms: int = DAY) -> Successor:
    return follow(a, m, meant=is_meant(a, m, accepted=accepted), now_ms=now_ms, grace_ms=grace_ms)


def refused(a: Found, m: Memory, **more: Any) -> str:
    with pytest.raises(TrustRefused) as caught:
        take(a, m, **more)
    assert caught.value.digest == a.digest
    assert caught.value.in_force == m.folder
    assert a.digest in str(caught.value)
    assert m.folder in str(caught.value)
    return caught.value.check_id


def test_a_disabled_workload_is_taken_at_once_and_does_not_come_back_by_itself() -> None:
    after = take(found(CHIPS, POLICY, OFF), memory(*OLD))
    assert after.changed == ("workload/acme/pay",)
    assert not after.kept
    later = memory(CHIPS, POLICY, OFF, replaced=after.replaced)
    assert refused(found(*OLD, was=True), later) == "trust.set.older"
    assert refused(found(*OLD, OTHER), later) == "trust.set.older"  # a set that never was, of a state that was
    fresh = row("workload", "pay", state="enabled", labels={"a": "b"})
    assert refused(found(CHIPS, POLICY, fresh), later) == "trust.set.diverging"  # a content that never was
    higher = row("workload", "pay", 2, state="enabled")
    assert take(found(CHIPS, POLICY, higher), later).changed == ("workload/acme/pay",)


def test_a_policy_that_was_replaced_does_not_come_back_by_itself() -> None:
    strict = row("policy", "default", strict=True)
    after = take(found(CHIPS, strict, ON), memory(*OLD))
    later = memory(CHIPS, strict, ON, replaced=after.replaced)
    assert refused(found(*OLD, OTHER), later) == "trust.set.older"
    assert take(found(CHIPS, row("policy", "default", 2), ON), later).changed == ("policy/acme/default",)
    assert refused(found(*OLD), memory(CHIPS, row("policy", "default", 2), ON)) == "trust.set.older"


def test_an_older_folder_without_a_new_workload_takes_nothing_away() -> None:
    assert refused(found(*OLD, was=True), memory(*OLD, OTHER)) == "trust.set.older"


def test_what_was_withdrawn_comes_back_by_a_higher_version_alone() -> None:
    later = memory(CHIPS, POLICY, replaced=(ON,))
    assert refused(found(*OLD), later) == "trust.set.older"
    assert take(found(CHIPS, POLICY, row("workload", "pay", 2, state="enabled")), later).added


def test_an_identity_may_be_left_out_and_come_back() -> None:
    newer = row("identity", "chips", 2)
    after = take(found(newer, POLICY, ON), memory(*OLD), grace_ms=0)
    assert after.replaced == ()
    assert take(found(CHIPS, newer, POLICY, ON), memory(newer, POLICY, ON)).added == ("identity/acme/chips@1",)


def test_a_removed_document_stays_for_the_grace_and_then_goes() -> None:
    shorter, before = found(CHIPS, POLICY), memory(*OLD)
    after = take(shorter, before)
    assert (after.kept, after.is_change) == ({"workload/acme/pay": NOW + DAY}, False)
    waiting = replace(before, folder=shorter.digest, kept=after.kept)
    assert take(shorter, waiting, now_ms=NOW + DAY - 1).kept == after.kept
    gone = take(shorter, waiting, now_ms=NOW + DAY)
    assert (gone.kept, gone.removed, gone.replaced) == ({}, ("workload/acme/pay",), (ON,))


def test_without_a_clock_nothing_that_is_kept_goes() -> None:
    before = memory(*OLD)
    assert take(found(CHIPS, POLICY), before, now_ms=None).kept == {"workload/acme/pay": 0}
    waiting = replace(before, kept={"workload/acme/pay": 0})
    assert take(found(CHIPS, POLICY), waiting).kept == {"workload/acme/pay": NOW + DAY}
    over = replace(before, kept={"workload/acme/pay": 1})
    assert take(found(CHIPS, POLICY), over, now_ms=None).kept == {"workload/acme/pay": 1}


def test_a_removal_that_is_meant_is_done_at_once() -> None:
    for shorter, more in ((found(CHIPS, POLICY, version=1), {}), (found(CHIPS, POLICY), {"accepted": True})):
        assert take(shorter, memory(*OLD), **more).removed == ("workload/acme/pay",)


def test_a_manifests_version_decides() -> None:
    before = memory(*OLD, manifest=5)
    assert refused(found(CHIPS, POLICY, OFF), before) == "trust.set.manifest"
    assert refused(found(CHIPS, POLICY, OFF, version=4), before) == "trust.set.older"
    assert refused(found(CHIPS, POLICY, OFF, version=5), before) == "trust.set.diverging"
    assert refused(found(CHIPS, POLICY, OFF, version=5), before, accepted=True) == "trust.set.diverging"
    assert take(found(CHIPS, POLICY, OFF, version=6), before).changed
    assert not take(found(*OLD, version=5), before).is_change
    # What was replaced comes back where the owner says so.
    back = memory(CHIPS, POLICY, OFF, replaced=(ON,), manifest=5)
    assert take(found(*OLD, version=6, was=True), back).changed == ("workload/acme/pay",)


def test_the_owner_may_accept_what_was_replaced() -> None:
    later = memory(CHIPS, POLICY, OFF, replaced=(ON,))
    assert take(found(*OLD, was=True), later, accepted=True).changed == ("workload/acme/pay",)


def test_a_manifest_that_does_not_fit_its_folder_is_refused() -> None:
    whole = manifest_of(OLD, 3)
    check_manifest("m", whole, OLD)
    for rows, key in (((CHIPS, POLICY), "workloads"), ((CHIPS, POLICY, OFF), "digest"), ((POLICY, ON), "identities")):
        with pytest.raises(ConfigError) as caught:
            check_manifest("m", whole, rows)
        assert caught.value.key == key


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"version": 0}', b'{"version": 1, "colour": 2}'])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        read_manifest("m", data)


def test_a_manifest_is_read_as_it_was_written() -> None:
    made = manifest_of(OLD, 3)
    assert read_manifest("m", made.model_dump_json().encode()) == made
    assert isinstance(made, Manifest)


def test_the_digest_of_a_set_is_of_its_documents_not_of_their_order() -> None:
    assert set_digest(OLD) == set_digest(OLD[::-1])
    assert len({set_digest(one) for one in (OLD, OLD[:2], (CHIPS, POLICY, OFF), (*OLD, OTHER))}) == 4
