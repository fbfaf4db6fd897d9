"""What runs by the clock: key rotation, purge, trust documents re-read. One leader at a time, by a lease in the store.

Beside it, without a leader: the fetcher of collateral, one a cache folder, so one on each machine (``adapters/collateral``).

Started by ``verifier serve`` as a process of its own unless ``run_worker = false``; several replicas may run one each.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any, Literal

import structlog

from verifier.adapters.clock import SystemClock
from verifier.adapters.collateral.cache import Entry
from verifier.adapters.collateral.fetch_queue import Lane
from verifier.adapters.collateral.fetcher import Fetcher, Observer
from verifier.adapters.keys.mark_file import MarkFile
from verifier.adapters.logs import configure_logging
from verifier.adapters.sql.store import SqlStore
from verifier.adapters.trust.compiling import TrustFolder
from verifier.adapters.trust.told import refusal_id, tell_change, tell_refused, tell_removal
from verifier.adapters.vendors.registry import KINDS
from verifier.compose import compose_fetcher, compose_store, keep_mark, mark_file, open_keys, open_trust_folder
from verifier.core.ids import ServiceId
from verifier.core.ports import SteadyClock, TrustStore, WorkerStore
from verifier.core.settings import SKEW_MS, Settings
from verifier.core.timekeeping import Belief, Times, judge, remembered, time_to_keep
from verifier.formats.errors import CannotDecide, ConfigError
from verifier.service.parts import RotatingKeys
from verifier.service.readiness import LEASE, LEASE_MS
from verifier.web import metrics

PERIOD_S = 5.0
PURGE_EVERY_MS = 10 * 60 * 1000
_DAY_MS = 24 * 3600 * 1000
_SAID_AGAIN_S = 60.0
_log = structlog.get_logger("verifier.worker")


class Worker:
    """One round after another; each does what is due and nothing twice."""

    def __init__(self, settings: Settings, store: WorkerStore, keys: RotatingKeys, clock: SteadyClock) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._clock = clock
        # The keys are read once, as the serving processes do: documents signed by one that they do not know would stop every login.
        self._trust = TrustWatch(open_trust_folder(settings, store), store) if settings.trust_dir else None
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._purged_ms: int | None = None  # by the steady clock
        self._belief: Belief | None = None

    def round(self) -> bool:
        """Do what is due now; returns whether this process leads. A store that is away is waited for."""
        leads = False
        try:
            belief = self._judge_clock()
            # Not the leader's alone: the folder that was changed may be another replica's. What waits there waits by a believed time.
            if self._trust is not None:
                self._trust.look(None if belief.doubt else belief.time_ms)
            leads = self._store.acquire_lease(LEASE, self._holder, LEASE_MS)
            if leads:
                self._keep_time(belief)
            if leads and not belief.doubt:
                self._do_what_is_due(belief.time_ms)
        except CannotDecide as error:
            _log.warning("worker-waits", check_id=error.check_id, detail=error.detail)
            leads = False
        metrics.LEADS.set(leads)
        return leads

    def believes(self) -> bool:
        """Tell whether the clock was believed in the last round and has not jumped since. For what other threads drop."""
        belief, now_ms = self._belief, self._clock.now_ms()
        if belief is None or belief.doubt:
            return False
        return abs(now_ms - belief.expected(self._clock.steady_ms())) <= SKEW_MS

    def _judge_clock(self) -> Belief:
        """Judge the clock for this round, and say when that changes."""
        times = Times(self._clock.now_ms(), self._clock.steady_ms(), self._store.times())
        before = self._belief or remembered(times)
        belief = self._belief = judge(times, before)
        if belief.doubt and not before.doubt:
            _log.warning("clock-doubted", detail=belief.doubt, kept="nothing is purged, rotated or dropped meanwhile")
        elif before.doubt and not belief.doubt:
            _log.info("clock-believed")
        return belief

    def _keep_time(self, belief: Belief) -> None:
        """Have the store remember the time: one process does."""
        store = self._store.times()
        times = Times(self._clock.now_ms(), self._clock.steady_ms(), store)
        self._store.keep_time(store.kept_ms, time_to_keep(times, belief))

    def _do_what_is_due(self, now_ms: int) -> None:
        """Do what cannot be undone, at a time that is believed."""
        for change in self._keys.rotate_due(now_ms // 1000):
            _log.info("keys", change=change)
        steady_ms = self._clock.steady_ms()
        if self._purged_ms is None or steady_ms - self._purged_ms >= PURGE_EVERY_MS:
            before_ms = now_ms - self._settings.evidence_retention_days * _DAY_MS
            gone = self._store.purge(now_ms=now_ms, evidence_before_ms=before_ms)
            self._purged_ms = steady_ms
            _log.info("purged", rows=gone)
            for row in self._store.broken_seals():
                _log.error("store-row-changed", check_id=ServiceId.SEAL, table=row.table, row=row.key)

    def close(self) -> None:
        """Give the lease back, so that another replica leads at once."""
        try:
            if self._store.release_lease(LEASE, self._holder):
                _log.info("lease-given-back")
        except CannotDecide as error:
            _log.warning("lease-left", check_id=error.check_id, detail=error.detail)  # it runs out


class TrustWatch:
    """Looks at this replica's folder of trust documents, round by round, and tells what comes of it."""

    def __init__(self, folder: TrustFolder, store: TrustStore) -> None:
        self._folder = folder
        self._store = store
        self._said: tuple[object, float] = (None, 0.0)

    def look(self, now_ms: int | None) -> None:
        """Take the folder where it follows; else what was compiled last stays in force, and log and metrics say so."""
        try:
            standing = self._folder.take(now_ms)
        except CannotDecide as error:
            _log.warning("trust-waits", check_id=error.check_id, detail=error.detail)
            return
        except ConfigError as error:
            metrics.TRUST_REFUSED.labels(refusal_id(error)).inc()
            metrics.TRUST_FOLLOWS.set(0)
            if self._is_news(str(error)):
                tell_refused(_log, error, self._in_force())
            return
        tell_change(_log, standing)
        if standing.change is not None:
            metrics.TRUST_CHANGES.inc()
        metrics.TRUST_FOLLOWS.set(1)
        metrics.TRUST_NUMBER.set(standing.number)
        metrics.TRUST_WAITING.set(len(standing.kept))
        for kind, count in standing.counts.items():
            metrics.TRUST_DOCUMENTS.labels(kind).set(count)
        if standing.kept and self._is_news(tuple(standing.kept)):
            tell_removal(_log, standing)

    def _in_force(self) -> str:
        try:
            return self._store.trust_digest()
        except CannotDecide:
            return ""

    def _is_news(self, what: object) -> bool:
        """Say it when it begins, and again once a minute while it lasts."""
        before, at = self._said
        now = time.monotonic()
        if what == before and now - at < _SAID_AGAIN_S:
            return False
        self._said = (what, now)
        return True


class CollateralMetrics(Observer):
    """Counts what the fetcher does. Chips are counted, not named: there is no end of them."""

    def fetched(self, vendor: str, kind: str, outcome: str) -> None:
        """Count an outcome."""
        metrics.FETCHES.labels(vendor, kind, outcome).inc()

    def refused(self, check_id: str) -> None:
        """Count a want that was not taken down."""
        metrics.WANTS_REFUSED.labels(check_id).inc()

    def note(self, level: Literal["info", "warning"], event: str, **fields: Any) -> None:
        """Write a log line."""
        (_log.warning if level == "warning" else _log.info)(event, **fields)

    def waiting(self, counts: Mapping[tuple[str, Lane], int]) -> None:
        """Show how many wait."""
        for (vendor, lane), count in counts.items():
            metrics.WANTS.labels(vendor, lane).set(count)

    def kept(self, entries: Iterable[Entry]) -> None:
        """Show what is kept, and of what many chips need when it ends."""
        counts: Counter[str] = Counter()
        for entry in entries:
            kind, key = entry.item.kind, entry.item.key
            counts[kind] += 1
            if entry.item.row.required:
                metrics.ISSUED.labels(kind, key).set(entry.facts.issued)
                metrics.FETCHED.labels(kind, key).set(entry.fetched)
                metrics.EXPIRES.labels(kind, key).set(entry.facts.expires)
        for kind in KINDS:
            metrics.KEPT.labels(kind).set(counts[kind])


def _keep_fetching(fetcher: Fetcher | None) -> bool:
    """Start the fetcher when no other process fetches for this folder; false when it broke and this process has to go."""
    if fetcher is None:
        return True
    try:
        return not fetcher.try_start() or fetcher.is_alive()
    except CannotDecide as error:
        _log_once("collateral-off", error.check_id, error.detail)
        return True


def _keep_mark(file: MarkFile, store: SqlStore) -> None:
    """Raise the mark beside the key file, on each machine its own. A store behind it was restored while it was served."""
    try:
        store.check_mark(file.read())
        keep_mark(file, store, lambda event, fields: _log_once(event, "", str(dict(fields))))
    except ConfigError as error:
        _log.error("store-behind-mark", where=error.where, key=error.key, got=str(error.got), want=error.want)
    except CannotDecide as error:
        _log.warning("worker-waits", check_id=error.check_id, detail=error.detail)


@functools.lru_cache(maxsize=16)
def _log_once(event: str, check_id: str, detail: str) -> None:
    """Say it the first time alone: it is tried again every few seconds."""
    _log.error(event, check_id=check_id, detail=detail)


def run(settings: Settings) -> None:
    """Run the worker in this process until it is told to stop."""
    configure_logging(settings.log_level, on_lost=metrics.LOG_LINES_LOST.inc)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    keys = open_keys(settings)
    store = compose_store(settings, keys)
    mark = mark_file(settings, keys)
    worker = Worker(settings, store, keys, SystemClock())
    fetcher = compose_fetcher(settings, store, CollateralMetrics(), worker.believes)
    fetches = True
    while fetches and not stop.is_set():
        fetches = _keep_fetching(fetcher)
        worker.round()
        metrics.WORKER_ROUND.set_to_current_time()
        _keep_mark(mark, store)
        stop.wait(PERIOD_S)
    worker.close()  # first: the next leader need not wait for what is being fetched
    _keep_mark(mark, store)
    if fetcher is not None:
        fetcher.close()
    store.close()
    if not fetches:
        sys.exit("the fetcher of collateral broke: see the log")  # `verifier serve` starts this process again
