"""Log lines leave by a thread of their own, so that whoever reads them can delay or fail nothing but lines.

``LogWriter.put`` takes a line into a bounded queue and returns at once; the process's own thread writes each line by one
``os.write``. A reader that is stuck, full or gone costs lines: they are counted, and once a line goes out again one more says how
many were lost. Lines of several processes do not mix: a pipe takes at most ``PIPE_BUF`` bytes in one piece, so no line is longer.
docs/adr/0019-logs-and-readiness.md says why lines are cut and not locked.
"""

from __future__ import annotations

import atexit
import errno
import os
import select
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

MAX_LINE: Final = select.PIPE_BUF
_PLACES: Final = 4_096  # at most 16 MiB of lines
_STUCK_S: Final = 5.0
_RETRY_S: Final = 1.0
_FLUSH_S: Final = 2.0
STDOUT: Final = 1

Lost = Callable[[int], None]
Notice = Callable[[int], bytes]


@dataclass(frozen=True, slots=True)
class LogState:
    """How the writer fares: why no line leaves ("" while they do), how many wait, how many were lost so far."""

    trouble: str
    waiting: int
    lost: int


class LogWriter:
    """Writes lines to a descriptor, from any thread and after any fork. No method raises for what the reader does."""

    def __init__(
        self,
        descriptor: int = STDOUT,
        *,
        notice: Notice,
        on_lost: Lost | None = None,
        places: int = _PLACES,
        retry_s: float = _RETRY_S,
        stuck_s: float = _STUCK_S,
    ) -> None:
        """``notice`` words the line that says how many were lost; ``on_lost`` counts them as they are lost."""
        self._descriptor = descriptor
        self._notice = notice
        self.on_lost = on_lost
        self._places, self._retry_s, self._stuck_s = places, retry_s, stuck_s
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        """Start with nothing: at first, and in a forked child, whose parent writes what waited."""
        self._changed = threading.Condition()  # a handler of a signal may log while its thread holds it
        self._lines: deque[bytes] = deque()
        self._thread: threading.Thread | None = None
        self._is_writing = False
        self._since = 0.0  # when the line that is being written was begun
        self._trouble = ""
        self._lost = self._unsaid = 0
        self._said_at = time.monotonic()
        self._is_torn = False  # the last write left a part of a line behind
        self._is_closing = False

    def put(self, line: bytes) -> None:
        """Take a line (without its end); it is lost where the queue is full."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._start()
            if len(self._lines) < self._places and self._thread is not None:
                self._lines.append(line)
                self._changed.notify_all()
                return
            self._count_lost(1)
        self._tell_lost(1)

    def state(self) -> LogState:
        """Tell whether lines leave."""
        with self._changed:
            trouble = self._trouble
            if not trouble and self._is_writing and time.monotonic() - self._since > self._stuck_s:
                trouble = "the reader takes no line"
            return LogState(trouble, len(self._lines), self._lost)

    def flush(self, within_s: float = _FLUSH_S) -> bool:
        """Wait until what was put has left, at most so long; false where it has not, which then is lost with the process."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            done = self._changed.wait_for(self._is_idle, within_s)
            self._is_closing = False
            return done

    def _is_idle(self) -> bool:
        is_alive = self._thread is not None and self._thread.is_alive()
        return (not self._lines and not self._is_writing) or not is_alive

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no thread to be had, or the interpreter ends
            self._thread = None
        else:
            self._thread = thread

    def _run(self) -> None:
        me = threading.current_thread()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._lines))
                if self._thread is not me:
                    return  # a copy in a forked child, or one that was given up
                line = self._lines.popleft()
                self._is_writing, self._since = True, time.monotonic()
            trouble = self._write(line)
            with self._changed:
                self._is_writing = False
                if trouble:
                    self._trouble = trouble
                    self._count_lost(1)
                else:
                    self._trouble = ""
                is_time = not self._lines or time.monotonic() - self._said_at > self._retry_s
                unsaid = self._unsaid if is_time and not trouble else 0
                self._changed.notify_all()
            if trouble:
                self._tell_lost(1)
                self._rest()
            elif unsaid and not self._write(self._notice(unsaid)):
                with self._changed:
                    self._unsaid -= unsaid
                    self._said_at = time.monotonic()

    def _rest(self) -> None:
        """Wait before the next try, so that a reader that is gone costs no processor; an end of the process waits for nothing."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closing, self._retry_s)

    def _write(self, line: bytes) -> str:
        """Write one line whole; returns why it did not go, "" where it did."""
        whole = (b"\n" if self._is_torn else b"") + line[: MAX_LINE - 2] + b"\n"
        try:
            written = os.write(self._descriptor, whole)
        except BlockingIOError:
            # Somebody set O_NONBLOCK on what all processes share. Waiting here is what a blocking write does.
            return self._write_when_it_can(whole)
        except OSError as error:
            return _word(error)
        self._is_torn = written < len(whole)
        return "the disk took a part of a line" if self._is_torn else ""

    def _write_when_it_can(self, whole: bytes) -> str:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while True:
            with suppress(OSError):
                poll.poll(1000 * self._retry_s)
            try:
                written = os.write(self._descriptor, whole)
            except BlockingIOError:
                if self._is_closing:
                    return "the reader takes no line"
                continue
            except OSError as error:
                return _word(error)
            self._is_torn = written < len(whole)
            return "the reader took a part of a line" if self._is_torn else ""

    def _count_lost(self, lines: int) -> None:
        self._lost += lines
        self._unsaid += lines

    def _tell_lost(self, lines: int) -> None:
        if self.on_lost is not None:
            # What counts them writes to a file of its own, which may be on the same full disk.
            with suppress(OSError, ValueError):
                self.on_lost(lines)

    # -- forks ----------------------------------------------------------------------------------------------------------

    def prepare_fork(self) -> None:
        """Keep every thread out of the queue while the process forks."""
        self._changed.acquire()

    def resume_after_fork(self) -> None:
        """Go on in the parent."""
        self._changed.release()

    def begin_as_child(self) -> None:
        """Start anew in the child: no thread, nothing waits, a lock that nobody holds."""
        self._begin()


def _word(error: OSError) -> str:
    return {errno.EPIPE: "nobody reads any more", errno.ENOSPC: "the disk is full"}.get(
        error.errno or 0, error.strerror or type(error).__name__
    )


_ALL: weakref.WeakSet[LogWriter] = weakref.WeakSet()
_in_fork: list[LogWriter] = []


def _before_fork() -> None:
    _in_fork.extend(_ALL)
    for writer in _in_fork:
        writer.prepare_fork()


def _in_parent() -> None:
    for writer in _in_fork:
        writer.resume_after_fork()
    _in_fork.clear()


def _in_child() -> None:
    for writer in _in_fork:
        writer.begin_as_child()
    _in_fork.clear()


def flush_all(within_s: float = _FLUSH_S) -> None:
    """Give every writer of this process its moment to finish; for the end of a process."""
    for writer in list(_ALL):
        writer.flush(within_s)


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
atexit.register(flush_all)
