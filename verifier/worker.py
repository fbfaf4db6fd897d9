"""What runs by the clock: key rotation, purge, trust documents re-read. One leader at a time, by a lease in the store.

Started by ``verifier serve`` as a process of its own unless ``run_worker = false``; several replicas may run one each.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from types import FrameType

import structlog

from verifier.adapters.clock import SystemClock
from verifier.adapters.logs import configure_logging
from verifier.adapters.parent import end_with_parent
from verifier.adapters.settings_source import load_settings
from verifier.adapters.trust import compile_into, load_demands
from verifier.compose import compose_store, open_keys
from verifier.core.errors import CannotDecide, ConfigError
from verifier.core.ports import Clock, Store
from verifier.core.settings import Settings
from verifier.service.parts import RotatingKeys

LEASE = "worker"
LEASE_MS = 30_000
PERIOD_S = 5.0
PURGE_EVERY_MS = 10 * 60 * 1000
_DAY_MS = 24 * 3600 * 1000
_log = structlog.get_logger("verifier.worker")


class Worker:
    """One round after another; each does what is due and nothing twice."""

    def __init__(self, settings: Settings, store: Store, keys: RotatingKeys, clock: Clock) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._clock = clock
        # Read once, as the serving processes do: documents signed by a key that they do not know yet would stop every login.
        self._demands = load_demands(settings.trust_keys_file)
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._purged_ms = 0

    def round(self) -> bool:
        """Do what is due now; returns whether this process leads. A store that is away is waited for."""
        try:
            if not self._store.acquire_lease(LEASE, self._holder, LEASE_MS):
                return False
            now_ms = self._clock.now_ms()
            for change in self._keys.rotate_due(now_ms // 1000):
                _log.info("keys", change=change)
            self._reload_trust()
            if now_ms - self._purged_ms >= PURGE_EVERY_MS:
                gone = self._store.purge(evidence_before_ms=now_ms - self._settings.evidence_retention_days * _DAY_MS)
                self._purged_ms = now_ms
                _log.info("purged", rows=gone)
        except CannotDecide as error:
            _log.warning("worker-waits", check_id=error.check_id, detail=error.detail)
            return False
        return True

    def _reload_trust(self) -> None:
        if not self._settings.trust_dir:
            return
        try:
            compile_into(self._store, self._settings.trust_dir, demands=self._demands)
        except ConfigError as error:
            # A broken document leaves what was compiled last in force; the operator must hear of it.
            _log.error("trust-refused", where=error.where, key=error.key, want=error.want)


def main(argv: list[str] | None = None) -> None:
    """Entry of the worker process: ``python -m verifier.worker [SETTINGS.toml]``."""
    arguments = sys.argv[1:] if argv is None else argv
    settings = load_settings(arguments[0] if arguments else None)
    configure_logging(settings.log_level)
    end_with_parent(os.environ)
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    store = compose_store(settings)
    worker = Worker(settings, store, open_keys(settings), SystemClock())
    while not stop.is_set():
        worker.round()
        stop.wait(PERIOD_S)
    store.close()


if __name__ == "__main__":
    main()
