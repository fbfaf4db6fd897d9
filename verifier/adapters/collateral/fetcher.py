"""The fetcher: the one place that asks vendors, outside the request workers. Each cache folder has one (by a lock there).

Threads: a server that takes down what is missed (``fetcher_socket``), one lane for each vendor (a vendor never sees two of our calls
at once), and an upkeep that renews documents ahead of their end. A document is inspected before it is kept. A call that failed is
tried again as its failure deserves: at once with jitter, after the time that the vendor asks for, or later and later.
"""

from __future__ import annotations

import fcntl
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from verifier.adapters.collateral.cache import FRESH_S, Cache, Entry, is_due, make_folder
from verifier.adapters.collateral.documents import inspect, is_of_anchor, issuer_of
from verifier.adapters.collateral.fetch_queue import FetchQueue, Lane, Limits, QueuedFetch, Reply
from verifier.adapters.collateral.fetcher_socket import FetcherServer
from verifier.adapters.collateral.http import Client, Throttled
from verifier.adapters.collateral.items import Item
from verifier.adapters.vendors.kind import NO_HEADERS, Absent, Answer, CallFailed, Service, Vendor
from verifier.core.ids import ServiceId
from verifier.core.ports import Clock
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.formats.x509chain import Anchor

_TRIES: Final = 3
_POLL_S: Final = 0.05
_UPKEEP_S: Final = 2.0
_PASS_S: Final = 30.0
_MOST_PAUSE_S: Final = 600.0
_FIRST_PAUSE_S: Final = 5.0


class Observer:
    """Counts nothing. The worker's metrics say what happens instead."""

    def fetched(self, vendor: str, kind: str, outcome: str) -> None:
        """One document was asked for, with this outcome (a word of a closed set)."""

    def refused(self, check_id: str) -> None:
        """A want was not taken down."""

    def note(self, level: Literal["info", "warning"], event: str, **fields: Any) -> None:
        """For the log; fields hold no secret."""

    def waiting(self, counts: Mapping[tuple[str, Lane], int]) -> None:
        """So many wants wait."""

    def kept(self, entries: Iterable[Entry]) -> None:
        """All documents of the cache."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A vendor, where and how to call it, and the least time between the starts of two calls (seconds)."""

    vendor: Vendor[Any]
    service: Service
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
    """See the module. ``listed`` returns the hwIDs of listed chips; ``anchors``: whose word what anchors sign has to be.

    ``believes`` tells whether the clock is believed now: without that nothing is dropped because it has expired.
    """

    cache: Cache
    endpoints: Sequence[Endpoint]
    limits: Limits
    clock: Clock
    observer: Observer
    anchors: tuple[Anchor, ...]
    listed: Callable[[], frozenset[str]] = field(default=frozenset)
    believes: Callable[[], bool] = field(default=lambda: False)
    stop: threading.Event = field(default_factory=threading.Event)
    _queue: FetchQueue = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _hold: int = -1
    _news: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._queue = FetchQueue(self.limits, {one.vendor.name: one.spacing for one in self.endpoints})

    # -- life -----------------------------------------------------------------------------------------------------------

    def try_start(self) -> bool:
        """Start unless another process fetches for this folder; tells whether it runs. ``CannotDecide`` for an unusable folder."""
        if self._threads:
            return True
        try:
            make_folder(self.cache.folder)
            hold = os.open(self.cache.folder / "fetcher.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise CannotDecide(ServiceId.CACHE, f"{self.cache.folder}: {error.strerror}") from None
        try:
            fcntl.flock(hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(hold)
            return False
        self._hold = hold
        server = FetcherServer(self.cache.folder, self.answer, self.stop)
        self._threads = [threading.Thread(target=server.run, name="collateral-socket", daemon=True)]
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
            if kept is not None and (not anew or 0 <= wall - kept.fetched < FRESH_S):
                replies.append(Reply("", "it came meanwhile", 1))
                continue
            with self._lock:
                replies.append(self._queue.ask(one, tenant, source, now))
        for reply in replies:
            if reply.check_id:
                self.observer.refused(reply.check_id)
        return replies

    # -- fetching -------------------------------------------------------------------------------------------------------

    def _serve(self, lane: _Lane) -> None:
        vendor = lane.endpoint.vendor.name
        while not self.stop.is_set():
            with self._lock:
                want = self._queue.take(vendor, time.monotonic())
            if want is None:
                self.stop.wait(_POLL_S)
                continue
            outcome = self._fetch(lane, want)
            self.observer.fetched(vendor, want.item.kind, outcome)

    def _fetch(self, lane: _Lane, want: QueuedFetch) -> str:
        item = want.item
        retrying = Retrying(
            stop=stop_after_attempt(_TRIES),
            wait=wait_random_exponential(multiplier=0.3, max=5.0),
            retry=retry_if_exception(lambda error: isinstance(error, CallFailed) and error.passing),
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
                self._queue.absent(item, str(error), time.monotonic())
            self.observer.note("info", "collateral-absent", item=str(item), reason=str(error))
            return "absent"
        except (CallFailed, CannotDecide) as error:
            return self._fail(lane, item, error)
        lane.throttled = lane.silent = 0
        self._news.set()
        with self._lock:
            if kept == "expired":
                self._queue.failed(item, "it came expired", time.monotonic())
            else:
                self._queue.done(item)
        self.observer.note("info", "collateral-fetched", item=str(item), kept=kept, expires=entry.facts.expires)
        return kept

    def _nap(self, seconds: float) -> None:
        self.stop.wait(seconds)

    def _once(self, lane: _Lane, item: Item) -> Entry:
        """Fetch a document and the one that signed it where its row names one; ``CallFailed`` for what no anchor stands behind."""
        entry = self._called(lane, item)
        if item.row.is_genuine is None and entry.facts.issued > self._now() + FRESH_S:
            raise CallFailed("garbage", f"{item}: of a time that is yet to come", passing=False)
        of = issuer_of(item, entry.body)
        if of is None:
            return self._genuine(entry, entry.chain)
        kept = self.cache.get(of, self._now())
        if kept is not None and is_of_anchor(item, entry.body, self.anchors, kept.body):
            return entry
        issuer = self._genuine(self._called(lane, of), b"")
        self.cache.put(issuer, self._now())
        with self._lock:
            self._queue.done(of)
        return self._genuine(entry, issuer.body)

    def _genuine(self, entry: Entry, chain: bytes) -> Entry:
        if not is_of_anchor(entry.item, entry.body, self.anchors, chain):
            raise CallFailed("untrusted", f"{entry.item}: no anchor signed it", passing=False)
        return entry

    def _called(self, lane: _Lane, item: Item) -> Entry:
        """Ask the vendor for a document, and read what came."""

        def get(url: str, request: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Answer:
            self.stop.wait(max(0.0, lane.next_call - time.monotonic()))
            if self.stop.is_set():
                raise CallFailed("stopped", "", passing=False)
            lane.next_call = time.monotonic() + lane.endpoint.spacing
            return lane.endpoint.client.get(url, request, headers)

        try:
            body, chain = item.row.fetch(lane.endpoint.service, item.key, get)
            facts = inspect(item, body, chain)
        except (MalformedEvidence, ValueError) as error:
            raise CallFailed("garbage", str(error), passing=True) from None
        return Entry(item, body, chain, lane.endpoint.vendor.name, self._now(), facts)

    def _be_patient(self, lane: _Lane, item: Item, error: Throttled) -> str:
        lane.throttled += 1
        asked = error.retry_after
        pause = (
            _FIRST_PAUSE_S * 2.0 ** min(lane.throttled - 1, 10) if asked is None else max(asked, lane.endpoint.spacing)
        )
        # A little more than was asked for: not all callers that were told the same should come at once.
        pause = min(_MOST_PAUSE_S, pause) + random.uniform(0.0, 0.5)  # noqa: S311 - jitter
        with self._lock:
            self._queue.put_back(item, pause, time.monotonic())
        self.observer.note(
            "warning", "collateral-throttled", item=str(item), reason=str(error), pause_s=round(pause, 1)
        )
        return "throttled"

    def _fail(self, lane: _Lane, item: Item, error: CallFailed | CannotDecide) -> str:
        kind = error.kind if isinstance(error, CallFailed) else "cache"
        now = time.monotonic()
        with self._lock:
            self._queue.failed(item, kind, now)
            if kind in ("unreachable", "timeout", "status-5xx", "cache"):
                # The vendor is down, not this one document: the others need not find out one by one.
                lane.silent += 1
                self._queue.pause(item.vendor, min(30.0, 2.0 ** min(lane.silent - 1, 10)), now)
        self.observer.note("warning", "collateral-failed", item=str(item), kind=kind, reason=str(error))
        return kind

    # -- renewing -------------------------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        passed = -_PASS_S
        while not self.stop.is_set():
            listed = self.listed()
            with self._lock:
                self._queue.listed = listed
                counts = self._queue.waiting()
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
        self.cache.trim(now if self.believes() else None, listed)
        entries = list(self.cache.entries())
        for entry in entries:
            if is_due(entry, now) and (entry.item.row.required or entry.item.chip in listed):
                with self._lock:
                    self._queue.refresh(entry.item, time.monotonic())
        self.observer.kept(entries)

    def _now(self) -> int:
        return self.clock.now_ms() // 1000
