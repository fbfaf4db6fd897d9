"""A child process of ``verifier serve``: named, and ended when its parent ends, so that nothing goes on serving without it."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from verifier.adapters.log_writer import flush_all

# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def fork_child(name: str, work: Callable[[], None]) -> BaseProcess:
    """Fork a child that runs ``work`` and nothing else; returns it, started.

    It has what this process has loaded, so that nothing is imported twice. This process must have one thread. ``name`` (at most
    15 bytes) is what ``ps -o comm`` and ``top`` show; the command line is the parent's. The child's signal handlers are the default.
    """
    child = multiprocessing.get_context("fork").Process(target=_run, args=(name, os.getpid(), work), name=name)
    # Held back meanwhile: the parent's handlers, which the child has until it resets them, would swallow a signal to the child.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        child.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _run(name: str, parent: int, work: Callable[[], None]) -> None:
    for number in _STOPPING:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's to obey; a terminal that closes sends it to all
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)
    if sys.platform.startswith("linux"):  # elsewhere there is no such request
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        end_with_parent()
        if os.getppid() != parent:
            sys.exit(0)  # it ended before the kernel was asked
    try:
        work()
    finally:
        flush_all()  # a forked process ends without the handlers of atexit


def end_with_parent() -> None:
    """Have the kernel end this process (SIGTERM) when its parent ends, however that ends."""
    if sys.platform.startswith("linux"):  # elsewhere there is no such request
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
