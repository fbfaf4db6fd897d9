"""Challenge keys: one a day, the same in every process, yesterday's still good."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from verifier.adapters.challenges import ChallengeKeys, enrolment_key

MASTER = bytes(range(32))
DAY = 86_400_000
NOON = 20_775 * DAY + DAY // 2


def keys(master: bytes = MASTER) -> ChallengeKeys:
    return ChallengeKeys(lambda: master)


def test_the_key_of_a_day_is_the_documented_derivation() -> None:
    info = b"vab-challenge-mac/v1\x00" + (20_775).to_bytes(8, "big")
    want = HKDF(hashes.SHA256(), length=32, salt=None, info=info).derive(MASTER)
    assert keys().current(NOON) == (20_775 % 256, want)


def test_a_new_day_has_a_new_key_and_yesterdays_is_still_found() -> None:
    source = keys()
    old_id, old = source.current(NOON)
    new_id, new = source.current(NOON + DAY)
    assert old != new
    assert (source.find(old_id, NOON + DAY), source.find(new_id, NOON + DAY)) == (old, new)
    assert source.find(old_id, NOON + 2 * DAY) is None


def test_no_other_id_has_a_key() -> None:
    source = keys()
    today = source.current(NOON)[0]
    assert {key_id for key_id in range(256) if source.find(key_id, NOON)} == {today, (today - 1) % 256}


def test_an_id_that_comes_round_after_256_days_is_another_key() -> None:
    source = keys()
    first_id, first = source.current(NOON)
    later_id, later = source.current(NOON + 256 * DAY)
    assert first_id == later_id
    assert first != later
    assert source.find(first_id, NOON + 256 * DAY) == later


def test_a_process_whose_clock_is_behind_takes_tomorrows_key_in_the_last_seconds_only() -> None:
    source = keys()
    midnight = 20_776 * DAY
    tomorrow = source.current(midnight)
    assert source.find(tomorrow[0], midnight - 5_000) == tomorrow[1]
    assert source.find(tomorrow[0], midnight - 5_001) is None


def test_another_master_is_another_key_also_while_the_process_runs() -> None:
    master = [MASTER]
    source = ChallengeKeys(lambda: master[0])
    before = source.current(NOON)
    master[0] = bytes(32)
    assert source.current(NOON) != before
    assert source.current(NOON) == keys(bytes(32)).current(NOON)


def test_old_days_are_let_go() -> None:
    source = keys()
    for day in range(50):
        source.current(NOON + day * DAY)
    assert len(source._derived) == 2


def test_the_enrolment_key_is_of_its_own() -> None:
    assert len(enrolment_key(MASTER)) == 32
    assert enrolment_key(MASTER) != keys().current(NOON)[1]


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_master_has_exactly_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match=r"^master: got"):
        keys(bytes(size)).current(NOON)
