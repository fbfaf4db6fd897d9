"""What is wanted and not there yet: a bounded queue with lanes, quotas and a memory of what does not exist. Pure: no clock, no I/O.

A caller is not verified yet, so nothing here grows with what callers send: lanes have places, memories have sizes, and each caller
has a budget. Each vendor has three lanes, served in this order:

- ``shared``: documents of which there is a handful in the world and that every chip needs (``Kind.reach``), and refreshes;
- ``listed``: chips that some identity lists (``chip_allow``). Others cannot take their places. A caller may claim a listed id with a
  made-up TCB, so each chip has a budget of its own and source addresses take turns: an address that fills the lane delays its own
  wants, and gives way when the lane is full;
- ``open``: all others, under quotas for each tenant and each source address.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cachetools import LRUCache

from verifier.adapters.collateral.items import Item
from verifier.core.ids import ServiceId
from verifier.formats.addresses import client_of

Lane = Literal["shared", "listed", "open"]
LANES: Final[tuple[Lane, ...]] = ("shared", "listed", "open")

ABANDONED_S: Final = 900.0  # not asked for again for so long: no caller waits for it
MAX_WAIT_S: Final = 60
_REMEMBERED: Final = 10_000
_HOUR: Final = 3600.0
_CHIP_PER_HOUR: Final = 8.0
_ABSENT_S: Final = 900.0
_ABSENT_SHARED_S: Final = 60.0
_FAIL_FIRST_S: Final = 2.0
_FAIL_MOST_S: Final = 600.0
_FAIL_SHARED_MOST_S: Final = 60.0
_CALL_S: Final = 0.5  # what a call takes, to tell how long a queue is


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request worker hears of something that it missed. ``retry_after`` in seconds.

    ``check_id``: why it was not even taken down, "" where it is on its way or known not to exist.
    ``known`` is false where no endpoint is set for such things: then it is never fetched.
    """

    check_id: str
    detail: str
    retry_after: int
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken down. ``places`` for the open lane and as many for listed chips; quotas are new wants an hour."""

    places: int = 200
    per_source: int = 120
    per_tenant: int = 1200


@dataclass(slots=True)
class QueuedFetch:
    """One document that somebody waits for. ``source`` and ``tenant`` are those of the first who asked."""

    item: Item
    lane: Lane
    tenant: str
    source: str
    asked: float
    running: bool = False


def _bounded() -> LRUCache[Any, Any]:
    """Return a table that forgets what was used longest ago."""
    return LRUCache(_REMEMBERED)


class Budgets:
    """Token buckets: ``per_hour`` each, as many at once. Forgetting the least recently used only refills it."""

    def __init__(self, per_hour: float) -> None:
        self._most = float(per_hour)
        self._levels: MutableMapping[str, tuple[float, float]] = _bounded()

    def left(self, who: str, now: float) -> float:
        """Return how many whole ones there are, and parts of the next."""
        level, then = self._levels.get(who) or (self._most, now)
        return min(self._most, level + max(0.0, now - then) * self._most / _HOUR)

    def take(self, who: str, now: float) -> None:
        """Take one."""
        self._levels[who] = (self.left(who, now) - 1.0, now)

    def wait(self, who: str, now: float) -> float:
        """Return the seconds until there is a whole one."""
        return max(0.0, 1.0 - self.left(who, now)) * _HOUR / self._most


@dataclass(frozen=True, slots=True)
class _Barred:
    """Not asked for again before ``until``, and why. ``failures``: how often fetching it failed in a row."""

    until: float
    why: str
    failures: int


@dataclass(slots=True)
class FetchQueue:
    """The queue. Not thread-safe: its owner locks.

    ``spacing``: by vendor, the pause between two calls (seconds). A vendor that is not in it has no endpoint.
    """

    limits: Limits
    spacing: dict[str, float]
    listed: frozenset[str] = frozenset()
    _waiting: dict[Item, QueuedFetch] = field(default_factory=dict)  # in the order of asking
    _barred: MutableMapping[Item, _Barred] = field(default_factory=_bounded)
    _paused: dict[str, float] = field(default_factory=dict)  # vendor -> until when it wants to be left alone
    _sources: Budgets = field(init=False)
    _tenants: Budgets = field(init=False)
    _chips: Budgets = field(default_factory=lambda: Budgets(_CHIP_PER_HOUR))
    _served: MutableMapping[str, float] = field(default_factory=_bounded)  # source -> when a want of its was taken last

    def __post_init__(self) -> None:
        self._sources = Budgets(self.limits.per_source)
        self._tenants = Budgets(self.limits.per_tenant)

    # -- asking ---------------------------------------------------------------------------------------------------------

    def ask(self, item: Item, tenant: str, source: str, now: float) -> Reply:
        """Take a want down, or say why not. Asking again for what is waiting costs nothing."""
        want = self._waiting.get(item)
        if want is not None:
            want.asked = now
            return Reply("", "it is being fetched", self._estimate(want, now))
        return self._refusal(item, now) or self._admit(item, tenant, client_of(source), now)

    def _refusal(self, item: Item, now: float) -> Reply | None:
        """Say why an item cannot be fetched now, for any caller."""
        if item.vendor not in self.spacing:
            return Reply("", f"{item}: no endpoint is set for it", 60, known=False)
        barred = self._barred.get(item)
        return (
            Reply("", barred.why, _seconds(barred.until - now)) if barred is not None and now < barred.until else None
        )

    def _admit(self, item: Item, tenant: str, source: str, now: float) -> Reply:
        lane = self._lane(item, now)
        waiting = [want for want in self._waiting.values() if want.lane == lane]
        if lane == "open":
            refused = self._over_quota(tenant, source, waiting, now)
            if refused is not None:
                return refused
        if lane != "shared" and len(waiting) >= self.limits.places and not self._make_room(lane, source, waiting):
            return Reply(ServiceId.QUEUE, f"fetches waiting: got {len(waiting)}, want fewer; try later", MAX_WAIT_S)
        if lane == "listed":
            self._chips.take(item.chip, now)
        if lane == "open":
            self._sources.take(source, now)
            self._tenants.take(tenant, now)
        want = self._waiting[item] = QueuedFetch(item, lane, tenant, source, now)
        return Reply("", "it will be fetched", self._estimate(want, now))

    def _make_room(self, lane: Lane, source: str, waiting: list[QueuedFetch]) -> bool:
        """Take the newest place of the source that holds most listed ones, if the caller holds fewer by more than one."""
        if lane != "listed":
            return False
        held = Counter(want.source for want in waiting)
        most, count = held.most_common(1)[0]
        given_up = next((want for want in reversed(waiting) if want.source == most and not want.running), None)
        if given_up is None or count <= held[source] + 1:
            return False
        del self._waiting[given_up.item]
        return True

    def _lane(self, item: Item, now: float) -> Lane:
        if item.row.reach == "all":
            return "shared"
        # Over its budget a listed chip is like all others: somebody makes up TCBs for it.
        return "listed" if item.chip in self.listed and self._chips.left(item.chip, now) >= 1 else "open"

    def _over_quota(self, tenant: str, source: str, waiting: list[QueuedFetch], now: float) -> Reply | None:
        for who, name, budgets, share, held in (
            ("source address", source, self._sources, 4, [want for want in waiting if want.source == source]),
            ("tenant", tenant, self._tenants, 2, [want for want in waiting if want.tenant == tenant]),
        ):
            if budgets.left(name, now) < 1:
                why = f"fetches for this {who}: got as many as its quota, want fewer"
                return Reply(ServiceId.QUOTA, why, _seconds(budgets.wait(name, now)))
            most = max(2, self.limits.places // share)
            if len(held) >= most:
                why = f"fetches waiting for this {who}: got {len(held)}, want fewer than {most}"
                return Reply(ServiceId.QUOTA, why, MAX_WAIT_S // 2)
        return None

    def refresh(self, item: Item, now: float) -> bool:
        """Take down what is to be renewed ahead of its end, under no quota. False where it waits or cannot be fetched."""
        if item in self._waiting or self._refusal(item, now) is not None:
            return False
        self._waiting[item] = QueuedFetch(item, "shared" if item.row.required else "open", "", "", now)
        return True

    def _estimate(self, want: QueuedFetch, now: float) -> int:
        """Return the seconds after which it should be there."""
        mine, ahead, is_later = LANES.index(want.lane), 0, False
        for other in self._waiting.values():
            if other is want:
                is_later = True
            elif other.item.vendor == want.item.vendor:
                theirs = LANES.index(other.lane)
                ahead += theirs < mine or (theirs == mine and not is_later)
        vendor = want.item.vendor
        pause = max(0.0, self._paused.get(vendor, 0.0) - now)
        return min(MAX_WAIT_S, _seconds(pause + (ahead + 1) * (self.spacing[vendor] + _CALL_S)))

    # -- fetching -------------------------------------------------------------------------------------------------------

    def take(self, vendor: str, now: float) -> QueuedFetch | None:
        """Return what that vendor is to be asked for next; ``None`` while it wants to be left alone, or nothing waits."""
        if now < self._paused.get(vendor, 0.0):
            return None
        for item in [i for i, w in self._waiting.items() if not w.running and now - w.asked > ABANDONED_S]:
            del self._waiting[item]
        ready = [w for w in self._waiting.values() if w.item.vendor == vendor and not w.running]
        if not ready:
            return None
        want = min(ready, key=self._turn)
        want.running = True
        if want.lane == "listed":
            self._served[want.source] = now
        return want

    def _turn(self, want: QueuedFetch) -> tuple[int, float]:
        """Say whose turn it is: by lane, and among listed chips the source that was served longest ago; else as they came."""
        served = self._served.get(want.source) if want.lane == "listed" else None
        return LANES.index(want.lane), -math.inf if served is None else served

    def done(self, item: Item) -> None:
        """It came: nothing is known against it any more."""
        self._waiting.pop(item, None)
        self._barred.pop(item, None)

    def absent(self, item: Item, reason: str, now: float) -> None:
        """Its vendor says that there is none: not asked for again for a while."""
        wait = _ABSENT_SHARED_S if item.row.reach == "all" else _ABSENT_S
        self._bar(item, now + wait, f"its vendor says that it does not exist ({reason})", self._failures(item))

    def failed(self, item: Item, reason: str, now: float) -> None:
        """It did not come: not tried again before a time that doubles."""
        failures = self._failures(item) + 1
        most = _FAIL_SHARED_MOST_S if item.row.reach == "all" else _FAIL_MOST_S
        wait = min(most, _FAIL_FIRST_S * 2.0 ** min(failures - 1, 20))
        self._bar(item, now + wait, f"fetching it failed ({reason})", failures)

    def _failures(self, item: Item) -> int:
        before = self._barred.get(item)
        return 0 if before is None else before.failures

    def _bar(self, item: Item, until: float, why: str, failures: int) -> None:
        self._waiting.pop(item, None)
        self._barred[item] = _Barred(until, why, failures)

    def put_back(self, item: Item, pause: float, now: float) -> None:
        """Its vendor asked for patience: it keeps its place, and the vendor its peace."""
        want = self._waiting.get(item)
        if want is not None:
            want.running = False
        self.pause(item.vendor, pause, now)

    def pause(self, vendor: str, pause: float, now: float) -> None:
        """Leave a vendor alone for so many seconds."""
        self._paused[vendor] = max(self._paused.get(vendor, 0.0), now + pause)

    def waiting(self) -> dict[tuple[str, Lane], int]:
        """Return how many wait, by vendor and lane."""
        counts: dict[tuple[str, Lane], int] = {(vendor, lane): 0 for vendor in self.spacing for lane in LANES}
        for want in self._waiting.values():
            counts[want.item.vendor, want.lane] += 1
        return counts


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))
