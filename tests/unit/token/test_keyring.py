"""Keyrings: published before signing, served until the last token is dead, and no kid twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.signing import NOW
from verifier.formats.errors import CannotDecide
from verifier.token.keyring import SERVED_AFTER_S, Keyring, RotationRules, bury, first_key, plan, rotate, rotate_at_once

RULES = RotationRules("ES256", lead_s=600, life_s=86_400)


def kids(prefix: str = "k") -> Callable[[str], str]:
    """Return a maker of kids that never repeats itself."""
    counter = itertools.count()
    return lambda alg: f"{prefix}{next(counter)}-{alg}"


def test_the_first_key_signs_at_once() -> None:
    ring = first_key(Keyring(), NOW, RULES, kids())
    assert ring.signing(NOW).kid == "k0-ES256"
    assert [ring.state(key, NOW) for key in ring.keys] == ["active"]


def test_nothing_signs_before_the_first_key_was_made() -> None:
    ring = first_key(Keyring(), NOW, RULES, kids())
    with pytest.raises(CannotDecide) as caught:
        ring.signing(NOW - 1)
    assert caught.value.check_id == "service.keys"
    assert ring.published(NOW - 1) == ()


def test_a_rotation_walks_through_every_state() -> None:
    make = kids()
    ring = rotate(first_key(Keyring(), NOW, RULES, make), NOW + 1000, RULES, make)
    old, new = ring.keys
    switch, death = NOW + 1600, NOW + 1600 + SERVED_AFTER_S

    def at(moment: int) -> tuple[str, str, str, list[str]]:
        published = [key.kid for key in ring.published(moment)]
        return ring.signing(moment).kid, ring.state(old, moment), ring.state(new, moment), published

    both = [old.kid, new.kid]
    assert at(NOW + 1000) == (old.kid, "active", "next", both)
    assert at(switch - 1) == (old.kid, "active", "next", both)
    assert at(switch) == (new.kid, "retired", "active", both)
    assert at(death - 1) == (new.kid, "retired", "active", both)
    assert at(death) == (new.kid, "dead", "active", [new.kid])
    assert bury(ring, death).keys == (new,)
    assert bury(ring, death - 1) == ring


def test_a_key_is_served_longer_than_the_longest_token_that_it_signed() -> None:
    assert SERVED_AFTER_S >= 300 + 60 + 5


def test_a_second_rotation_while_one_is_under_way_changes_nothing() -> None:
    make = kids()
    ring = rotate(first_key(Keyring(), NOW, RULES, make), NOW + 1, RULES, make)
    assert rotate(ring, NOW + 2, RULES, make) == ring
    assert len(rotate(ring, NOW + 601, RULES, make).keys) == 3


def test_the_clock_publishes_a_successor_one_lead_before_the_end_of_life() -> None:
    make = kids()
    ring = first_key(Keyring(), NOW, RULES, make)
    due = NOW + 86_400 - 600
    assert plan(ring, due - 1, RULES, make) == ring
    planned = plan(ring, due, RULES, make)
    assert [key.signs_from for key in planned.keys] == [NOW, NOW + 86_400]
    assert plan(planned, due + 1, RULES, make) == planned


def test_a_verifier_that_slept_through_its_rotation_still_publishes_before_signing() -> None:
    make = kids()
    late = NOW + 40 * 86_400
    ring = plan(first_key(Keyring(), NOW, RULES, make), late, RULES, make)
    assert ring.signing(late).kid == "k0-ES256"
    assert ring.keys[-1].signs_from == late + 600


def test_another_algorithm_is_due_at_once_and_published_first() -> None:
    make = kids()
    ring = plan(first_key(Keyring(), NOW, RULES, make), NOW + 5, RotationRules("EdDSA", 600, 86_400), make)
    assert [(key.alg, key.signs_from) for key in ring.keys] == [("ES256", NOW), ("EdDSA", NOW + 605)]


def test_rules_without_an_algorithm_keep_the_newest_keys() -> None:
    make = kids()
    ring = first_key(Keyring(), NOW, RotationRules("PS256", 600, 86_400), make)
    assert rotate(ring, NOW + 1, RotationRules("", 600, 86_400), make).keys[-1].alg == "PS256"
    with pytest.raises(ValueError, match=r"^algorithm"):
        first_key(Keyring(), NOW, RotationRules("", 600, 86_400), make)


def test_a_kid_is_never_used_twice_even_after_its_key_is_dead() -> None:
    make = kids()
    ring = rotate(first_key(Keyring(), NOW, RULES, make), NOW + 1, RULES, make)
    ring = bury(ring, NOW + 10_000)
    assert len(ring.keys) == 1
    with pytest.raises(ValueError, match=r"^kid: got k0-ES256"):
        rotate(ring, NOW + 10_000, RULES, lambda _alg: "k0-ES256")


def test_a_first_key_is_for_an_empty_ring() -> None:
    make = kids()
    with pytest.raises(ValueError, match=r"^keyring"):
        first_key(first_key(Keyring(), NOW, RULES, make), NOW, RULES, make)


@given(st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=40))
@settings(max_examples=200)
def test_whatever_the_operator_and_the_clock_do_no_token_is_without_its_key(steps: list[tuple[int, bool]]) -> None:
    """Walk second by second over the edges: one key signs, it was published a lead ago, and it stays until its tokens die."""
    rules = RotationRules("ES256", lead_s=600, life_s=2000)
    make = kids()
    now = NOW
    ring = first_key(Keyring(), now, rules, make)
    signed: dict[str, int] = {}
    published_since: dict[str, int] = {ring.keys[0].kid: NOW - 600}
    for wait, by_hand in steps:
        now += wait
        ring = rotate(ring, now, rules, make) if by_hand else plan(ring, now, rules, make)
        for key in ring.published(now):
            published_since.setdefault(key.kid, now)
        signer = ring.signing(now)
        assert now - published_since[signer.kid] >= rules.lead_s
        signed[signer.kid] = now
        served = {key.kid for key in ring.published(now)}
        assert all(kid in served for kid, last in signed.items() if now < last + 300 + 65)
        assert len({key.kid for key in ring.keys}) == len(ring.keys)
        assert [key.signs_from for key in ring.keys] == sorted(key.signs_from for key in ring.keys)


def test_a_rotation_on_demand_lets_nothing_go_whatever_its_clock_says() -> None:
    make = kids()
    ring = rotate(first_key(Keyring(), NOW, RULES, make), NOW + 1, RULES, make)
    far = NOW + 40 * 86_400
    assert set(ring.keys) < set(rotate(ring, far, RULES, make).keys)
    assert set(ring.keys) < set(rotate_at_once(ring, far, RULES, make).keys)


def test_a_key_of_a_time_to_come_holds_no_rotation_up() -> None:
    """A command was run while the clock was 40 days ahead."""
    make = kids()
    far = NOW + 40 * 86_400
    ring = rotate(first_key(Keyring(), NOW, RULES, make), far, RULES, make)
    first, late = ring.keys
    due = NOW + RULES.life_s - RULES.lead_s
    assert plan(ring, due - 1, RULES, make) == ring
    planned = plan(ring, due, RULES, make)
    assert [planned.keys[0], planned.keys[2]] == [first, late]
    assert planned.signing(NOW + RULES.life_s) == planned.keys[1]
    assert rotate(ring, NOW + 1, RULES, make).keys[1].signs_from == NOW + 1 + RULES.lead_s


@pytest.mark.parametrize("under_way_s", [-1, 0, 300])
def test_a_rotation_at_once_signs_at_once(under_way_s: int) -> None:
    make = kids()
    ring = first_key(Keyring(), NOW, RULES, make)
    if under_way_s >= 0:
        ring = rotate(ring, NOW + 1, RULES, make)
    now = NOW + 2 + under_way_s
    urgent = rotate_at_once(ring, now, RULES, make)
    (new,) = set(urgent.keys) - set(ring.keys)
    assert urgent.signing(now) == new
    assert new in urgent.published(now)
    assert [key.signs_from for key in urgent.keys] == sorted(key.signs_from for key in urgent.keys)


def test_where_every_key_is_of_a_time_to_come_one_that_signs_at_once_is_the_way_out() -> None:
    make = kids()
    ring = first_key(Keyring(), NOW + 40 * 86_400, RULES, make)
    with pytest.raises(CannotDecide):
        ring.signing(NOW)
    assert rotate_at_once(ring, NOW, RULES, make).signing(NOW).signs_from == NOW
