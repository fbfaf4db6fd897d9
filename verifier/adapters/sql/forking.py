"""What belongs to one process: connections and the writer's thread; and what a fork does to them.

A store may be made and used before a fork (gunicorn's preload). A fork waits until no thread uses a connection and closes them
all; parent and child open their own at their next use (``engine.Gate`` says what happens otherwise).
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass

from sqlalchemy.engine import URL

from verifier.adapters.sql.engine import Database
from verifier.adapters.sql.seals import Sealer
from verifier.adapters.sql.writer import Writer
from verifier.core.ids import ServiceId
from verifier.core.ports import SteadyClock
from verifier.formats.errors import CannotDecide

_FORK_WAIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process's connections and writer."""

    database: Database
    writer: Writer

    def close(self) -> None:
        """Write what waits, stop, close."""
        self.writer.close()
        self.database.close()

    def release_idle(self) -> None:
        """Close connections that no thread uses right now."""
        self.writer.release_idle()
        self.database.close()


class OwnedByProcess:
    """Gives each process its own ``Process``, made at the first use."""

    def __init__(self, url: URL, sealer: Sealer, *, skew_ms: int, clock: SteadyClock) -> None:
        self._url = url
        self.is_local = url.get_backend_name() == "sqlite"
        self._sealer = sealer
        self._clock = clock
        self._skew_ms = skew_ms
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._is_still = True  # at the last fork, no thread used a connection
        self._is_unusable = False
        _ALL.add(self)

    def here(self) -> Process:
        """Return this process's own; ``CannotDecide`` in a child whose parent used it while it forked."""
        process = self._process
        if process is not None:
            return process
        if self._is_unusable:
            raise CannotDecide(
                ServiceId.STORE, "this process was forked while another thread used the store; start it again"
            )
        with self._lock:
            if self._process is None:
                database = Database(self._url)
                writer = Writer(database, self._sealer, skew_ms=self._skew_ms, clock=self._clock)
                self._process = Process(database, writer)
            return self._process

    def close(self) -> None:
        """Close what is open; a later use opens anew."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            process.close()

    def prepare_fork(self) -> None:
        """Wait until no thread uses a connection, keep all out, and close the connections."""
        self._lock.acquire()  # and no thread may begin to use it now
        if self._process is not None:
            self._is_still = self._process.database.gate.shut(_FORK_WAIT_S)
            self._process.release_idle()

    def resume_after_fork(self) -> None:
        """Go on in the parent."""
        if self._process is not None:
            self._process.database.gate.open()
        self._lock.release()

    def begin_as_child(self) -> None:
        """Start with nothing in a child; what could not be closed before the fork is the parent's and left alone.

        Where that is a SQLite connection, nothing here may open the same file again: this process's store then refuses.
        """
        self._lock = threading.Lock()
        process, self._process = self._process, None
        if process is not None and not self._is_still:
            _ABANDONED.append(process)
            self._is_unusable = process.database.is_sqlite


_ALL: weakref.WeakSet[OwnedByProcess] = weakref.WeakSet()
# Kept from the garbage collector, which would close a parent's connections: SQLite and servers take that for the parent.
_ABANDONED: list[Process] = []
_forking = threading.Lock()
_in_fork: list[OwnedByProcess] = []


def _before_fork() -> None:
    _forking.acquire()
    _in_fork.extend(_ALL)
    for owned in _in_fork:
        owned.prepare_fork()


def _in_parent() -> None:
    for owned in _in_fork:
        owned.resume_after_fork()
    _in_fork.clear()
    _forking.release()


def _in_child() -> None:
    for owned in _in_fork:
        owned.begin_as_child()
    _in_fork.clear()
    _forking.release()


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
