"""The fetcher: the one place that asks vendors, outside the request workers. One of it a cache folder (by a lock there).

Threads: a door that takes down what is missed, one lane a vendor (so that no vendor ever sees two calls of ours at once), and an
upkeep that renews ahead of the end. What comes is inspected before it is kept; what does not come is tried again as its
failure deserves: at once with jitter, after the time that the vendor asks for, or later and later.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from verifier.adapters.collateral.cache import Cache, Entry, make_folder
from verifier.adapters.collateral.documents import BadDocument, inspect, is_of_anchor, issuer_of
from verifier.adapters.collateral.door import DoorKeeper
from verifier.adapters.collateral.http import Absent, Answer, Client, Failed, Get, Throttled
from verifier.adapters.collateral.items import NVIDIA_OCSP, REQUIRED, Item
from verifier.adapters.collateral.replies import Reply
from verifier.adapters.collateral.wants import Lane, Limits, Want, Wants
from verifier.core.ports import Clock
from verifier.formats.errors import CannotDecide
from verifier.formats.x509chain import Anchor

_TRIES: Final = 3
_POLL_S: Final = 0.05
_UPKEEP_S: Final = 2.0
_PASS_S: Final = 30.0
_MOST_PAUSE_S: Final = 600.0
_FIRST_PAUSE_S: Final = 5.0
_FRESH_S: Final = 60
# However long an issuer lets it live, what says who is revoked or out of date is looked at again after so many seconds.
_MOST_AGE_S: Final = 12 * 3600


class Vendor(Protocol):
    """Knows what is at which address."""

    name: str

    def fetch(self, item: Item, get: Get) -> tuple[bytes, bytes]:
        """Return a document and the chain that came with it."""
        ...


class Observer(Protocol):
    """Counts what happens: the worker's metrics."""

    def fetched(self, vendor: str, kind: str, outcome: str) -> None:
        """One document was asked for, with this outcome (a word of a closed set)."""
        ...

    def refused(self, check_id: str) -> None:
        """A want was not taken down."""
        ...

    def note(self, level: Literal["info", "warning"], event: str, **fields: Any) -> None:
        """For the log; fields hold no secret."""
        ...

    def waiting(self, counts: Mapping[tuple[str, Lane], int]) -> None:
        """So many wants wait."""
        ...

    def kept(self, entries: Iterable[Entry]) -> None:
        """All documents of the cache."""
        ...


class Unobserved:
    """Counts nothing: for a command."""

    def fetched(self, vendor: str, kind: str, outcome: str) -> None:
        """Count nothing."""

    def refused(self, check_id: str) -> None:
        """Count nothing."""

    def note(self, level: Literal["info", "warning"], event: str, **fields: Any) -> None:
        """Say nothing."""

    def waiting(self, counts: Mapping[tuple[str, Lane], int]) -> None:
        """Count nothing."""

    def kept(self, entries: Iterable[Entry]) -> None:
        """Count nothing."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A vendor, how to call it, and the least time between the starts of two calls (seconds)."""

    vendor: Vendor
    client: Client
    spacing: float


@dataclass(slots=True)
class _Lane:
    endpoint: Endpoint
    next_call: float = 0.0
    throttled: int = 0  # in a row
    silent: int = 0


@dataclass(slots=True, kw_only=True)
class Fetcher:
    """See the module. ``listed`` returns the hwIDs of listed chips; ``anchors``: whose word what anchors sign has to be."""

    cache: Cache
    endpoints: Sequence[Endpoint]
    limits: Limits
    clock: Clock
    observer: Observer
    anchors: tuple[Anchor, ...]
    listed: Callable[[], frozenset[str]] = field(default=frozenset)
    stop: threading.Event = field(default_factory=threading.Event)
    _wants: Wants = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _hold: int = -1
    _news: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._wants = Wants(self.limits, {one.vendor.name: one.spacing for one in self.endpoints})

    # -- life -----------------------------------------------------------------------------------------------------------

    def try_start(self) -> bool:
        """Start unless another process fetches for this folder; tells whether it runs. ``CannotDecide`` for an unusable folder."""
        if self._threads:
            return True
        try:
            make_folder(self.cache.folder)
            hold = os.open(self.cache.folder / "fetcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotDecide("service.collateral.cache", f"{self.cache.folder}: {error.strerror}") from None
        try:
            fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(hold)
            return False
        self._hold = hold
        keeper = DoorKeeper(self.cache.folder, self.answer, self.stop)
        self._threads = [threading.Thread(target=keeper.run, name="collateral-door", daemon=True)]
        self._threads += [
            threading.Thread(target=self._serve, args=(_Lane(one),), name=f"collateral-{one.vendor.name}", daemon=True)
            for one in self.endpoints
        ]
        self._threads.append(threading.Thread(target=self._keep_up, name="collateral-upkeep", daemon=True))
        for thread in self._threads:
            thread.start()
        return True

    def close(self) -> None:
        """Stop, and let another process fetch; a call in flight is left to its deadline."""
        self.stop.set()
        for thread in self._threads:
            thread.join(1.0)
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def is_alive(self) -> bool:
        """Tell whether all of its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    # -- asking ---------------------------------------------------------------------------------------------------------

    def answer(self, tenant: str, source: str, wanted: Sequence[Item], anew: bool) -> Sequence[Reply]:  # noqa: FBT001
        """Answer a request worker."""
        now, wall = time.monotonic(), self._now()
        replies = []
        for one in wanted:
            kept = self.cache.get(one, wall)
            # A clock that was put back makes what was fetched look new for ever.
            if kept is not None and (not anew or 0 <= wall - kept.fetched < _FRESH_S):
                replies.append(Reply("", "it came meanwhile", 1))
                continue
            with self._lock:
                replies.append(self._wants.ask(one, tenant, source, now))
        for reply in replies:
            if reply.check_id:
                self.observer.refused(reply.check_id)
        return replies

    # -- fetching -------------------------------------------------------------------------------------------------------

    def _serve(self, lane: _Lane) -> None:
        vendor = lane.endpoint.vendor.name
        while not self.stop.is_set():
            with self._lock:
                want = self._wants.take(vendor, time.monotonic())
            if want is None:
                self.stop.wait(_POLL_S)
                continue
            outcome = self._fetch(lane, want)
            self.observer.fetched(vendor, want.item.kind, outcome)

    def _fetch(self, lane: _Lane, want: Want) -> str:
        item = want.item
        retrying = Retrying(
            stop=stop_after_attempt(_TRIES),
            wait=wait_random_exponential(multiplier=0.3, max=5.0),
            retry=retry_if_exception(lambda error: isinstance(error, Failed) and error.passing),
            sleep=self._nap,
            reraise=True,
        )
        try:
            entry = retrying(self._once, lane, item)
            kept = self.cache.put(entry, self._now())
        except Throttled as error:
            return self._be_patient(lane, item, error)
        except Absent as error:
            with self._lock:
                self._wants.absent(item, str(error), time.monotonic())
            self.observer.note("info", "collateral-absent", item=str(item), reason=str(error))
            return "absent"
        except (Failed, CannotDecide) as error:
            return self._fail(lane, item, error)
        lane.throttled = lane.silent = 0
        self._news.set()
        with self._lock:
            if kept == "expired":
                self._wants.failed(item, "it came expired", time.monotonic())
            else:
                self._wants.done(item)
        self.observer.note("info", "collateral-fetched", item=str(item), kept=kept, expires=entry.facts.expires)
        return kept

    def _nap(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _once(self, lane: _Lane, item: Item) -> Entry:
        def get(url: str, request: bytes = b"") -> Answer:
            self.stop.wait(max(0.0, lane.next_call - time.monotonic()))
            if self.stop.is_set():
                raise Failed("stopped", "", passing=False)
            lane.next_call = time.monotonic() + lane.endpoint.spacing
            return lane.endpoint.client.get(url, request)

        body, chain = lane.endpoint.vendor.fetch(item, get)
        try:
            facts = inspect(item, body, chain)
        except BadDocument as error:
            raise Failed("garbage", str(error), passing=True) from None
        if item.kind == NVIDIA_OCSP and facts.issued > self._now() + _FRESH_S:
            raise Failed("garbage", f"{item}: of a time that is yet to come", passing=False)
        if not self._is_genuine(lane, item, body, chain, get):
            raise Failed("untrusted", "no anchor signed it", passing=False)
        return Entry(item, body, chain, lane.endpoint.vendor.name, self._now(), facts)

    def _is_genuine(self, lane: _Lane, item: Item, body: bytes, chain: bytes, get: Get) -> bool:
        """Tell whether an anchor stands behind it. A VCEK's issuer is looked up, and fetched where what is kept did not sign it."""
        of = issuer_of(item, body)
        if of is None:
            return is_of_anchor(item, body, self.anchors, chain)
        kept = self.cache.get(of, self._now())
        if kept is not None and is_of_anchor(item, body, self.anchors, kept.body):
            return True
        issuer, _none = lane.endpoint.vendor.fetch(of, get)
        try:
            facts = inspect(of, issuer)
        except BadDocument as error:
            raise Failed("garbage", str(error), passing=True) from None
        if not is_of_anchor(of, issuer, self.anchors):
            raise Failed("untrusted", f"{of}: no anchor signed it", passing=False)
        self.cache.put(Entry(of, issuer, b"", lane.endpoint.vendor.name, self._now(), facts), self._now())
        with self._lock:
            self._wants.done(of)
        return is_of_anchor(item, body, self.anchors, issuer)

    def _be_patient(self, lane: _Lane, item: Item, error: Throttled) -> str:
        lane.throttled += 1
        asked = error.retry_after
        pause = (
            _FIRST_PAUSE_S * 2.0 ** min(lane.throttled - 1, 10) if asked is None else max(asked, lane.endpoint.spacing)
        )
        # A little more than was asked for: not everybody who was told the same should come at once.
        pause = min(_MOST_PAUSE_S, pause) + random.uniform(0.0, 0.5)  # noqa: S311 - jitter
        with self._lock:
            self._wants.put_back(item, pause, time.monotonic())
        self.observer.note(
            "warning", "collateral-throttled", item=str(item), reason=str(error), pause_s=round(pause, 1)
        )
        return "throttled"

    def _fail(self, lane: _Lane, item: Item, error: Failed | CannotDecide) -> str:
        kind = error.kind if isinstance(error, Failed) else "cache"
        now = time.monotonic()
        with self._lock:
            self._wants.failed(item, kind, now)
            if kind in ("unreachable", "timeout", "status-5xx", "cache"):
                # The vendor is down, not this one document: the others need not find out one by one.
                lane.silent += 1
                self._wants.pause(item.vendor, min(30.0, 2.0 ** min(lane.silent - 1, 10)), now)
        self.observer.note("warning", "collateral-failed", item=str(item), kind=kind, reason=str(error))
        return kind

    # -- renewing -------------------------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        passed = -_PASS_S
        while not self.stop.is_set():
            listed = self.listed()
            with self._lock:
                self._wants.listed = listed
                counts = self._wants.waiting()
            self.observer.waiting(counts)
            try:
                if self._news.is_set() or time.monotonic() - passed >= _PASS_S:
                    self._news.clear()
                    passed = time.monotonic()
                    self._round(listed)
            except CannotDecide as error:
                self.observer.note("warning", "collateral-waits", check_id=error.check_id, detail=error.detail)
            self.stop.wait(_UPKEEP_S)

    def _round(self, listed: frozenset[str]) -> None:
        now = self._now()
        self.cache.trim(now, listed)
        entries = list(self.cache.entries())
        for entry in entries:
            if is_due(entry, now) and (entry.item.kind in REQUIRED or entry.item.chip in listed):
                with self._lock:
                    self._wants.refresh(entry.item, time.monotonic())
        self.observer.kept(entries)

    def _now(self) -> int:
        return self.clock.now_ms() // 1000


def refresh_at(entry: Entry) -> int:
    """Return when a document is to be renewed: at two thirds of its life; what tells of revocation twice a day at least."""
    facts = entry.facts
    due = facts.issued + (facts.expires - facts.issued) * 2 // 3
    # What was issued long before it was fetched is past that already: then half of what is left.
    due = max(due, entry.fetched + (facts.expires - entry.fetched) // 2) if due < entry.fetched else due
    tells_revocation = entry.item.kind in REQUIRED or entry.item.kind == NVIDIA_OCSP
    return min(due, entry.fetched + _MOST_AGE_S) if tells_revocation else due


def is_due(entry: Entry, now: int) -> bool:
    """Tell whether a document is to be renewed now: also one of a time that is yet to come, since the clock was put back."""
    return now >= refresh_at(entry) or now < entry.fetched - _FRESH_S
