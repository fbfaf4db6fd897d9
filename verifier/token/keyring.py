"""Keyrings: when a signing key is published, signs, retires and dies. Pure; knows times and key ids, no private keys.

A key's state is a function of the clock alone: it is ``next`` from the moment that it is published, ``active`` from
``signs_from`` until its successor's ``signs_from``, ``retired`` until its last token is dead. So processes that share a
key file agree without telling each other, and nothing has to happen at an exact moment. Times are Unix seconds.

Why these times: Vault caches keys without expiry and refetches on an unknown ``kid`` only (docs/vault.md), hence publish
before signing, never reuse a ``kid``, and serve a key until the last token that it signed is refused everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from verifier.core.ids import ServiceId
from verifier.core.settings import SKEW_MS, TOKEN_LIFE_MAX_S
from verifier.formats.errors import CannotDecide

# Makes a key of an algorithm and returns its kid; the caller that gives the function keeps the key itself.
NewKid = Callable[[str], str]
State = Literal["next", "active", "retired", "dead"]

# Vault's leeway where a role forgets to set clock_skew_leeway = 5.
VAULT_DEFAULT_LEEWAY_S: Final = 60
# From a key's last signature to its removal: the longest life that any setting allows (the setting may have been lowered
# since), Vault's leeway, and both clocks' skew.
SERVED_AFTER_S: Final = TOKEN_LIFE_MAX_S + VAULT_DEFAULT_LEEWAY_S + 2 * (SKEW_MS // 1000)


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """One key: published from ``published_at``, signs from ``signs_from`` until the next one in the ring does."""

    kid: str
    alg: str
    published_at: int
    signs_from: int


@dataclass(frozen=True, slots=True)
class RotationRules:
    """How keys follow each other: seconds, and the algorithm of new ones ("" for the newest key's own)."""

    algorithm: str
    lead_s: int
    life_s: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """A tenant's keys in the order in which they sign, and every kid that ever was, dead ones too."""

    keys: tuple[KeyTimes, ...] = ()
    used_kids: frozenset[str] = frozenset()

    def signing(self, now: int) -> KeyTimes:
        """Return the key that signs at ``now``; ``CannotDecide('service.keys')`` if none does yet."""
        for key in reversed(self.keys):
            if key.signs_from <= now:
                return key
        raise CannotDecide(ServiceId.KEYS, "signing key: no key signs now; check the clock and `verifier keys list`")

    def published(self, now: int) -> tuple[KeyTimes, ...]:
        """Return the keys that the JWKS shows at ``now``: next, active and retired ones."""
        return tuple(key for key in self.keys if key.published_at <= now and self.state(key, now) != "dead")

    def state(self, key: KeyTimes, now: int) -> State:
        """Return the state of one of this ring's keys."""
        retires_at = self.retires_at(key)
        if now < key.signs_from:
            return "next"
        if retires_at is None or now < retires_at:
            return "active"
        return "retired" if now < retires_at + SERVED_AFTER_S else "dead"

    def retires_at(self, key: KeyTimes) -> int | None:
        """Return when the key's successor begins to sign; ``None`` where it has none."""
        position = self.keys.index(key)
        return self.keys[position + 1].signs_from if position + 1 < len(self.keys) else None


def first_key(ring: Keyring, now: int, rules: RotationRules, new_kid: NewKid) -> Keyring:
    """Add the first key of a new issuer: no Vault has cached a key yet, so it signs at once."""
    if ring.keys:
        raise ValueError("keyring: has keys already")
    alg = _algorithm(ring, rules)
    return _append(ring, KeyTimes(new_kid(alg), alg, now, now))


def bury(ring: Keyring, now: int) -> Keyring:
    """Let go of keys whose last token is dead; their kids stay known, since none is ever used again."""
    return replace(ring, keys=tuple(key for key in ring.keys if ring.state(key, now) != "dead"))


def rotate(ring: Keyring, now: int, rules: RotationRules, new_kid: NewKid) -> Keyring:
    """Rotate on demand: publish a new key now, let it sign ``lead_s`` later. Nothing is let go: for that, a clock has to be believed.

    While a rotation is under way the ring is returned as it is; ``new_kid`` makes a key and is called only if one is wanted.
    """
    if not ring.keys:
        return first_key(ring, now, rules, new_kid)
    newest = _newest(ring, now)
    if newest is not None and newest.signs_from > now:
        return ring
    alg = _algorithm(ring, rules)
    return _append(ring, KeyTimes(new_kid(alg), alg, now, now + rules.lead_s))


def rotate_at_once(ring: Keyring, now: int, rules: RotationRules, new_kid: NewKid) -> Keyring:
    """Publish a key that signs from now on. Keys that are to sign later stay: which of them a wrong clock made cannot be told here."""
    alg = _algorithm(ring, rules)
    return _append(ring, KeyTimes(new_kid(alg), alg, now, now))


def plan(ring: Keyring, now: int, rules: RotationRules, new_kid: NewKid) -> Keyring:
    """Do what is due by the clock: bury dead keys, and publish a successor ``lead_s`` before the newest key's life ends.

    A newest key of another algorithm than the rules' is due at once. Returns an equal ring where nothing is due. ``now`` has to be
    believed: what is buried is gone.
    """
    ring = bury(ring, now)
    newest = _newest(ring, now)
    is_due = newest is None or now >= newest.signs_from + rules.life_s - rules.lead_s
    if is_due or (newest is not None and newest.alg != _algorithm(ring, rules)):
        return rotate(ring, now, rules, new_kid)
    return ring


def _newest(ring: Keyring, now: int) -> KeyTimes | None:
    """Return the key that signs last of those that are published. One of a time to come was made by a clock that was ahead.

    It is no reason to make no other key until then.
    """
    return next((key for key in reversed(ring.keys) if key.published_at <= now + SKEW_MS // 1000), None)


def next_rotation(ring: Keyring, now: int, rules: RotationRules) -> int:
    """Return when the newest key begins to sign, or, where it does, when its successor is to be published."""
    if not ring.keys:
        return now
    newest = ring.keys[-1]
    return newest.signs_from if newest.signs_from > now else newest.signs_from + rules.life_s - rules.lead_s


def _algorithm(ring: Keyring, rules: RotationRules) -> str:
    if rules.algorithm:
        return rules.algorithm
    if not ring.keys:
        raise ValueError("algorithm: want one, there is no key to go by")
    return ring.keys[-1].alg


def _append(ring: Keyring, key: KeyTimes) -> Keyring:
    if key.kid in ring.used_kids:
        raise ValueError(f"kid: got {key.kid}, want one that was never used")
    # In the order in which they sign; of two that begin at once, the newer one signs.
    later = next((i for i, other in enumerate(ring.keys) if other.signs_from > key.signs_from), len(ring.keys))
    return Keyring((*ring.keys[:later], key, *ring.keys[later:]), ring.used_kids | {key.kid})
