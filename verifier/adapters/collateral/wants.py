"""What is wanted and not there yet: a bounded queue with lanes, quotas and a memory of what does not exist. Pure: no clock, no I/O.

Callers have proved nothing yet (docs/architecture.md), so nothing here grows with what they send: lanes have places,
memories have sizes, and each caller has a budget. Three lanes a vendor, served in this order:

- ``shared``: CRLs, intermediates, identities: a handful in the world, and every chip needs them; refreshes too;
- ``listed``: chips that some identity lists (``chip_allow``): their places cannot be taken by others. Any caller can claim a listed
  id with a made-up TCB, so each chip has a budget of its own, and source addresses take turns: an address that fills the lane delays
  itself, and gives way when it is full;
- ``open``: all other chips, under quotas a tenant and a source address.

Times are seconds of one monotonic clock.
"""

from __future__ import annotations

import ipaddress
import math
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

from verifier.adapters.collateral.items import SHARED, TCB_INFO, Item
from verifier.adapters.collateral.replies import QUEUE_FULL, QUOTA, Reply

Lane = Literal["shared", "listed", "open"]
LANES: Final[tuple[Lane, ...]] = ("shared", "listed", "open")

ABANDONED_S: Final = 900.0  # no caller has asked again: none waits for it
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
_V6_NETWORK: Final = 64

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is taken down. ``places`` for the open lane and as many for listed chips; quotas are new wants an hour."""

    places: int = 200
    per_source: int = 120
    per_tenant: int = 1200


@dataclass(slots=True)
class Want:
    """One document that callers wait for. ``source`` and ``tenant`` are those of the first."""

    item: Item
    lane: Lane
    tenant: str
    source: str
    asked: float
    running: bool = False
    refresh: bool = False


class Bounded(Generic[K, V]):
    """A dictionary that forgets what was used longest ago."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: K) -> V | None:
        """Return a value."""
        return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        self._kept[key] = value
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def drop(self, key: K) -> None:
        """Forget one."""
        self._kept.pop(key, None)


class Budgets:
    """Token buckets: ``per_hour`` each, as many at once. Forgetting the least recently used only refills it."""

    def __init__(self, per_hour: float) -> None:
        self._most = float(per_hour)
        self._levels: Bounded[str, tuple[float, float]] = Bounded()

    def left(self, who: str, now: float) -> float:
        """Return how many whole ones there are, and parts of the next."""
        level, then = self._levels.get(who) or (self._most, now)
        return min(self._most, level + max(0.0, now - then) * self._most / _HOUR)

    def take(self, who: str, now: float) -> None:
        """Take one."""
        self._levels.put(who, (self.left(who, now) - 1.0, now))

    def wait(self, who: str, now: float) -> float:
        """Return the seconds until there is a whole one."""
        return max(0.0, 1.0 - self.left(who, now)) * _HOUR / self._most


@dataclass(slots=True)
class _Vendor:
    """How fast a vendor is asked: the pause between two calls, and until when it wants to be left alone."""

    spacing: float
    paused_until: float = 0.0


@dataclass(frozen=True, slots=True)
class _Failure:
    count: int
    until: float
    reason: str


def network_of(source: str) -> str:
    """Return whom a quota is counted for: an address, of IPv6 its /64, since one machine has all of that."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source[:64]
    if isinstance(address, ipaddress.IPv4Address):
        return source
    return str(address.ipv4_mapped or ipaddress.ip_network((address, _V6_NETWORK), strict=False))


@dataclass(slots=True)
class Wants:
    """The queue. Not thread-safe: its owner locks. ``spacing`` by vendor; a vendor that is not in it has no endpoint."""

    limits: Limits
    spacing: dict[str, float]
    listed: frozenset[str] = frozenset()
    _waiting: dict[Item, Want] = field(default_factory=dict)  # in the order of asking
    _absent: Bounded[Item, tuple[float, str]] = field(default_factory=Bounded)
    _failed: Bounded[Item, _Failure] = field(default_factory=Bounded)
    _vendors: dict[str, _Vendor] = field(default_factory=dict)
    _sources: Budgets = field(init=False)
    _tenants: Budgets = field(init=False)
    _chips: Budgets = field(default_factory=lambda: Budgets(_CHIP_PER_HOUR))
    _served: Bounded[str, float] = field(default_factory=Bounded)  # source -> when a want of its was taken last

    def __post_init__(self) -> None:
        self._sources = Budgets(self.limits.per_source)
        self._tenants = Budgets(self.limits.per_tenant)
        self._vendors = {name: _Vendor(spacing) for name, spacing in self.spacing.items()}

    # -- asking ---------------------------------------------------------------------------------------------------------

    def ask(self, item: Item, tenant: str, source: str, now: float) -> Reply:
        """Take a want down, or say why not. Asking again for what is waiting costs nothing."""
        if item.vendor not in self._vendors:
            return Reply("", f"{item}: no endpoint is set for it", 60, known=False)
        absent = self._absent.get(item)
        if absent is not None and now < absent[0]:
            return Reply("", f"its vendor says that it does not exist ({absent[1]})", _seconds(absent[0] - now))
        want = self._waiting.get(item)
        if want is not None:
            want.asked = now
            return Reply("", "it is being fetched", self._estimate(want, now))
        failure = self._failed.get(item)
        if failure is not None and now < failure.until:
            return Reply("", f"fetching it failed ({failure.reason})", _seconds(failure.until - now))
        return self._admit(item, tenant, network_of(source), now)

    def _admit(self, item: Item, tenant: str, source: str, now: float) -> Reply:
        lane = self._lane(item, now)
        waiting = [want for want in self._waiting.values() if want.lane == lane]
        if lane == "open":
            refused = self._over_quota(tenant, source, waiting, now)
            if refused is not None:
                return refused
        if lane != "shared" and len(waiting) >= self.limits.places and not self._make_room(lane, source, waiting):
            return Reply(QUEUE_FULL, f"fetches waiting: got {len(waiting)}, want fewer; try later", MAX_WAIT_S)
        if lane == "listed":
            self._chips.take(item.chip, now)
        if lane == "open":
            self._sources.take(source, now)
            self._tenants.take(tenant, now)
        want = self._waiting[item] = Want(item, lane, tenant, source, now)
        return Reply("", "it will be fetched", self._estimate(want, now))

    def _make_room(self, lane: Lane, source: str, waiting: list[Want]) -> bool:
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
        if item.kind in SHARED:
            return "shared"
        # Over its budget a listed chip counts as unlisted: a caller makes up TCBs for it.
        return "listed" if item.chip in self.listed and self._chips.left(item.chip, now) >= 1 else "open"

    def _over_quota(self, tenant: str, source: str, waiting: list[Want], now: float) -> Reply | None:
        for who, name, budgets, share in (
            ("source address", source, self._sources, 4),
            ("tenant", tenant, self._tenants, 2),
        ):
            if budgets.left(name, now) < 1:
                return Reply(
                    QUOTA,
                    f"fetches for this {who}: got as many as its quota, want fewer",
                    _seconds(budgets.wait(name, now)),
                )
            most = max(2, self.limits.places // share)
            held = sum(1 for want in waiting if name == (want.source if share == 4 else want.tenant))  # noqa: PLR2004
            if held >= most:
                return Reply(
                    QUOTA, f"fetches waiting for this {who}: got {held}, want fewer than {most}", MAX_WAIT_S // 2
                )
        return None

    def refresh(self, item: Item, now: float) -> bool:
        """Take down what is to be renewed ahead of its end; no quota counts it. False where it waits, failed lately or cannot be."""
        failure, absent = self._failed.get(item), self._absent.get(item)
        if (
            item.vendor not in self._vendors
            or item in self._waiting
            or (failure is not None and now < failure.until)
            or (absent is not None and now < absent[0])
        ):
            return False
        lane: Lane = "shared" if item.kind in SHARED or item.kind == TCB_INFO else "open"
        self._waiting[item] = Want(item, lane, "", "", now, refresh=True)
        return True

    def _estimate(self, want: Want, now: float) -> int:
        """Return the seconds after which it should be there."""
        mine, ahead, is_later = LANES.index(want.lane), 0, False
        for other in self._waiting.values():
            if other is want:
                is_later = True
            elif other.item.vendor == want.item.vendor:
                theirs = LANES.index(other.lane)
                ahead += theirs < mine or (theirs == mine and not is_later)
        vendor = self._vendors[want.item.vendor]
        pause = max(0.0, vendor.paused_until - now)
        return min(MAX_WAIT_S, _seconds(pause + (ahead + 1) * (vendor.spacing + _CALL_S)))

    # -- fetching -------------------------------------------------------------------------------------------------------

    def take(self, vendor: str, now: float) -> Want | None:
        """Return what that vendor is to be asked for next; ``None`` while it wants to be left alone, or nothing waits."""
        if now < self._vendors[vendor].paused_until:
            return None
        for item in [i for i, w in self._waiting.items() if not w.running and now - w.asked > ABANDONED_S]:
            del self._waiting[item]
        ready = [w for w in self._waiting.values() if w.item.vendor == vendor and not w.running]
        if not ready:
            return None
        want = min(ready, key=self._turn)
        want.running = True
        if want.lane == "listed":
            self._served.put(want.source, now)
        return want

    def _turn(self, want: Want) -> tuple[int, float]:
        """Say whose turn it is: by lane, and among listed chips the source that was served longest ago; else as they came."""
        served = self._served.get(want.source) if want.lane == "listed" else None
        return LANES.index(want.lane), -math.inf if served is None else served

    def pause_left(self, vendor: str, now: float) -> float:
        """Return for how long that vendor wants to be left alone."""
        return max(0.0, self._vendors[vendor].paused_until - now)

    def done(self, item: Item) -> None:
        """It came: nothing is known against it any more."""
        self._waiting.pop(item, None)
        self._failed.drop(item)
        self._absent.drop(item)

    def absent(self, item: Item, reason: str, now: float) -> None:
        """Its vendor says that there is none: not asked for again for a while."""
        self._waiting.pop(item, None)
        self._absent.put(item, (now + (_ABSENT_SHARED_S if item.kind in SHARED else _ABSENT_S), reason))

    def failed(self, item: Item, reason: str, now: float) -> None:
        """It did not come: not tried again before a time that doubles."""
        self._waiting.pop(item, None)
        before = self._failed.get(item)
        count = 1 if before is None else before.count + 1
        most = _FAIL_SHARED_MOST_S if item.kind in SHARED else _FAIL_MOST_S
        wait = min(most, _FAIL_FIRST_S * 2.0 ** min(count - 1, 20))
        self._failed.put(item, _Failure(count, now + wait, reason))

    def put_back(self, item: Item, pause: float, now: float) -> None:
        """Its vendor asked for patience: it keeps its place, and the vendor its peace."""
        want = self._waiting.get(item)
        if want is not None:
            want.running = False
        self.pause(item.vendor, pause, now)

    def pause(self, vendor: str, pause: float, now: float) -> None:
        """Leave a vendor alone for so many seconds."""
        known = self._vendors[vendor]
        known.paused_until = max(known.paused_until, now + pause)

    def waiting(self) -> dict[tuple[str, Lane], int]:
        """Return how many wait, by vendor and lane."""
        counts: dict[tuple[str, Lane], int] = {(vendor, lane): 0 for vendor in self._vendors for lane in LANES}
        for want in self._waiting.values():
            counts[want.item.vendor, want.lane] += 1
        return counts

    @property
    def takes(self) -> frozenset[str]:
        """Vendors that have an endpoint."""
        return frozenset(self._vendors)


def _seconds(wait: float) -> int:
    return max(1, math.ceil(wait))
