"""A child of ``verifier serve``: its signals are its own, and it ends with its parent."""

from __future__ import annotations

import os
import signal
from multiprocessing import Pipe

import pytest

from tests.support.waiting import wait_for
from verifier.adapters.child import fork_child


def test_signals_of_the_parent_are_not_the_childs() -> None:
    """SIGHUP is the parent's to obey: a child that died of it would be missed; the others end it."""
    reading, writing = Pipe(duplex=False)
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        child = fork_child(
            "vab-test", lambda: writing.send([int(signal.getsignal(one)) for one in (signal.SIGHUP, signal.SIGTERM)])
        )
        child.join()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert reading.recv() == [int(signal.SIG_IGN), int(signal.SIG_DFL)]
    reading.close()
    writing.close()


def test_a_child_ends_when_its_parent_is_killed() -> None:
    reading, writing = Pipe(duplex=False)
    parent = os.fork()
    if parent == 0:
        child = fork_child("vab-test", signal.pause)
        writing.send(child.pid)
        signal.pause()
    pid = reading.recv()
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    writing.close()
    # The grandchild holds the other end of the pipe, which closes with it.
    wait_for(reading.poll)
    with pytest.raises(EOFError):
        reading.recv()
    reading.close()
    assert pid > 0
