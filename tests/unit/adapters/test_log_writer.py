"""Lines leave by a thread of their own: whatever the reader does, who logs waits for nothing and hears of nothing."""

from __future__ import annotations

import fcntl
import io
import json
import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.processes import child_processes
from tests.support.waiting import wait_for
from verifier.adapters import logs
from verifier.adapters.log_writer import MAX_LINE, LogWriter


def _notice(lost: int) -> bytes:
    return f"lost {lost}".encode()


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        for end in (reading, writing):
            with suppress(OSError):
                os.close(end)


def _read_lines(reading: int, until: bytes) -> list[bytes]:
    data = b""
    while until not in data:
        data += os.read(reading, 1 << 16)
    return data.splitlines()


def test_lines_leave_in_order() -> None:
    with _pipe() as (reading, writing):
        writer = LogWriter(writing, notice=_notice)
        for number in range(1000):
            writer.put(b"line %d" % number)

        lines = _read_lines(reading, b"line 999\n")

    assert lines == [b"line %d" % number for number in range(1000)]


def test_a_reader_that_is_stuck_costs_lines_alone_and_they_are_counted_and_told_once() -> None:
    counted: list[int] = []
    with _pipe() as (reading, writing):
        writer = LogWriter(writing, notice=_notice, places=10, stuck_s=0.01, on_lost=counted.append)
        line = b"x" * 4000
        put = 0
        while not writer.state().trouble:  # a pipe takes 64 KiB, and no call waits
            wait_for(lambda: writer.state().waiting < 10 or writer.state().trouble)
            writer.put(line)
            put += 1
        for _ in range(100):
            writer.put(line)
        put += 100

        assert writer.state().trouble == "the reader takes no line"
        lost = writer.state().lost
        assert sum(counted) == lost
        assert writer.state().waiting == 10
        lines = _read_lines(reading, b"lost")
        wait_for(lambda: not writer.state().trouble and not writer.state().waiting)
        writer.put(b"end")
        lines += _read_lines(reading, b"end")

    assert sum(int(one.split()[1]) for one in lines if one.startswith(b"lost")) == lost
    assert lines.count(line) == put - lost


def test_a_reader_that_died_raises_nothing_and_is_told_as_trouble() -> None:
    with _pipe() as (reading, writing):
        writer = LogWriter(writing, notice=_notice, retry_s=0.01)
        os.close(reading)
        for _ in range(3):
            writer.put(b"to nobody")
        wait_for(lambda: writer.state().lost == 3)

        assert writer.state().trouble == "nobody reads any more"


def test_a_full_disk_is_told_as_trouble() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        writer = LogWriter(full.fileno(), notice=_notice, retry_s=0.01)
        writer.put(b"no room")
        wait_for(lambda: writer.state().lost == 1)

        assert writer.state().trouble == "the disk is full"


def test_a_pipe_that_somebody_made_non_blocking_loses_no_line() -> None:
    with _pipe() as (reading, writing):
        fcntl.fcntl(writing, fcntl.F_SETFL, fcntl.fcntl(writing, fcntl.F_GETFL) | os.O_NONBLOCK)
        writer = LogWriter(writing, notice=_notice, retry_s=0.01)
        for _ in range(50):
            writer.put(b"y" * 4000)
        writer.put(b"end")

        lines = _read_lines(reading, b"end\n")

    assert lines == [b"y" * 4000] * 50 + [b"end"]
    assert writer.state().lost == 0


def test_lines_of_several_processes_do_not_mix() -> None:
    with _pipe() as (reading, writing), child_processes() as start:
        writer = LogWriter(writing, notice=_notice)

        def work() -> None:
            letter = b"%c" % (97 + os.getpid() % 26)
            for size in range(1, 4 * MAX_LINE, 97):
                writer.put(letter * size)
            assert writer.flush(30)

        children = [start(work) for _ in range(3)]
        os.close(writing)
        data = io.BytesIO()
        while block := os.read(reading, 1 << 16):
            data.write(block)
        assert [child.finish() for child in children] == [(0, "")] * 3

    lines = data.getvalue().splitlines()
    assert len(lines) == 3 * len(range(1, 4 * MAX_LINE, 97))
    assert all(len(set(line)) == 1 for line in lines), "a line has letters of two processes"


def test_a_forked_child_has_a_thread_of_its_own_and_none_of_its_parent_s_lines() -> None:
    with _pipe() as (reading, writing), child_processes() as start:
        writer = LogWriter(writing, notice=_notice)
        writer.put(b"parent")
        writer.flush()

        def work() -> None:
            writer.put(b"child")
            assert writer.flush(30)

        assert start(work).finish() == (0, "")
        writer.put(b"parent again")
        assert _read_lines(reading, b"again\n") == [b"parent", b"child", b"parent again"]


def test_a_fork_waits_for_no_reader() -> None:
    with _pipe() as (_reading, writing), child_processes() as start:
        writer = LogWriter(writing, notice=_notice, places=5)
        for _ in range(100):
            writer.put(b"z" * 4000)

        assert start(lambda: writer.put(b"child")).finish() == (0, "")


def test_flush_ends_at_its_bound_with_a_reader_that_is_stuck() -> None:
    with _pipe() as (_reading, writing):
        writer = LogWriter(writing, notice=_notice, places=30)
        for _ in range(30):
            writer.put(b"z" * 4000)

        assert writer.flush(0.05) is False


def _event(**more: object) -> dict[str, object]:
    return {"event": "bug", "level": "error", "timestamp": "2026-01-01T00:00:00Z", **more}


@pytest.mark.parametrize(
    "more",
    [
        {"exception": "Traceback " + "frame\n" * 5_000 + "ValueError: the end"},
        {"detail": "\x00" * 9_000},
        {"detail": "ü" * 3_000, "other": "n" * 9_000},
        {"many": {str(number): number for number in range(3_000)}},
        {f"key{number}": "v" * 60 for number in range(400)},
        {"event": "e" * 100_000},
    ],
)
def test_a_line_that_is_too_long_is_cut_and_stays_json(more: dict[str, object]) -> None:
    line = logs.render(None, "", _event(**more))

    assert len(line) <= MAX_LINE - 2
    told = json.loads(line)
    assert told["level"] == "error"
    assert told["cut"]
    if "exception" in more:
        assert told["exception"].endswith("ValueError: the end")
        assert told["exception"].startswith("Traceback")


def test_what_a_thread_dies_of_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    put: list[bytes] = []

    class Kept:
        def put(self, line: bytes) -> None:
            put.append(line)

    monkeypatch.setattr(logs, "_writer", Kept())
    handler = logs.StandardLines()
    import logging

    logging.getLogger("verifier").addHandler(handler)
    try:
        error = ValueError("of this")
        thread = threading.current_thread()
        logs._thread_died(threading.ExceptHookArgs((ValueError, error, None, thread)))
    finally:
        logging.getLogger("verifier").removeHandler(handler)

    told = json.loads(put[0])
    assert told["event"] == f"thread-died: {thread.name}"
    assert "".join(traceback.format_exception_only(error)).strip() in told["exception"]
