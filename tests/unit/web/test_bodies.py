"""Bodies are bounded one by one and together, and what is refused is read away first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

import pytest

from verifier.formats.errors import CannotDecide
from verifier.web.bodies import ClientLeft, Receive, SharedSpace, declared_length, given_back, read_body
from verifier.web.problems import HttpRefusal

CAP = 100_000


def sent(*chunks: bytes, ends: bool = True) -> tuple[Receive, list[Mapping[str, Any]]]:
    """Return what receives these chunks, and those that were not read yet."""
    left: list[Mapping[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": not ends or at + 1 < len(chunks)}
        for at, chunk in enumerate(chunks)
    ]

    async def receive() -> Mapping[str, Any]:
        return left.pop(0) if left else {"type": "http.disconnect"}

    return receive, left


def read(receive: Receive, declared: int | None) -> bytes:
    return asyncio.run(_whole(read_body(receive, CAP, declared)))


async def _whole(reading: Awaitable[bytes]) -> bytes:
    return await reading


def refused(receive: Receive, declared: int | None) -> tuple[int, str]:
    with pytest.raises(HttpRefusal) as caught:
        read(receive, declared)
    return caught.value.reply.status, caught.value.check_id


@pytest.mark.parametrize("chunks", [(b"",), (b"a",), (b"a", b"", b"bc"), (b"x" * CAP,)])
@pytest.mark.parametrize("is_declared", [True, False])
def test_a_body_within_its_cap_is_read_whole(chunks: tuple[bytes, ...], *, is_declared: bool) -> None:
    whole = b"".join(chunks)
    assert read(sent(*chunks)[0], len(whole) if is_declared else None) == whole


@pytest.mark.parametrize("declared", [CAP + 1, None])
def test_one_byte_more_is_refused_and_read_away(declared: int | None) -> None:
    receive, left = sent(b"x" * CAP, b"x")
    assert refused(receive, declared) == (413, "wire.size")
    assert left == []


def test_a_body_that_says_it_is_too_large_is_refused_whatever_comes() -> None:
    assert refused(sent(b"x")[0], CAP + 1) == (413, "wire.size")


def test_what_has_no_end_is_read_away_up_to_a_bound() -> None:
    receive, left = sent(*[b"x" * CAP] * 10)
    assert refused(receive, None) == (413, "wire.size")
    assert len(left) == 7


def test_a_client_that_leaves_in_the_middle_is_left() -> None:
    with pytest.raises(ClientLeft):
        read(sent(b"half", ends=False)[0], 8)


@pytest.mark.parametrize(
    ("headers", "size"),
    [({}, 0), ({b"content-length": b"17"}, 17), ({b"transfer-encoding": b"chunked", b"content-length": b"17"}, None)],
)
def test_a_size_is_declared_or_not_known(headers: Mapping[bytes, bytes], size: int | None) -> None:
    assert declared_length(headers) == size


@pytest.mark.parametrize("text", [b"", b"-1", b"+1", b"1_0", b"0x1", "१".encode()])
def test_a_size_that_is_no_number_is_bad_http(text: bytes) -> None:
    with pytest.raises(HttpRefusal) as caught:
        declared_length({b"content-length": text})
    assert caught.value.check_id == "wire.http"


def test_space_is_shared_first_come_first_served() -> None:
    async def run() -> list[str]:
        space, order = SharedSpace(10, waiting=8), list[str]()

        async def use(name: str, size: int) -> None:
            await space.take(size)
            with given_back(space, size):
                order.append(name)
                await asyncio.sleep(0)
                order.append(f"{name} ends")

        # The third would fit beside the first, and waits behind the second all the same.
        await asyncio.gather(use("a", 6), use("b", 8), use("c", 2))
        await use("whole", 10)
        return order

    assert asyncio.run(run()) == ["a", "a ends", "b", "c", "b ends", "c ends", "whole", "whole ends"]


def test_too_many_that_wait_are_told_to_come_again() -> None:
    async def run() -> None:
        space = SharedSpace(10, waiting=1)
        await space.take(10)
        waiting = asyncio.ensure_future(space.take(1))
        await asyncio.sleep(0)
        with pytest.raises(CannotDecide) as caught:
            await space.take(1)
        assert caught.value.check_id == "service.busy"
        assert caught.value.retry_after > 0
        space.give(10)
        await waiting

    asyncio.run(run())


@pytest.mark.parametrize("is_its_turn", [False, True])
def test_one_that_stops_waiting_keeps_nothing(*, is_its_turn: bool) -> None:
    async def run() -> None:
        space = SharedSpace(10, waiting=8)
        await space.take(10)
        waiting = asyncio.ensure_future(space.take(4))
        await asyncio.sleep(0)
        if is_its_turn:
            space.give(10)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        if not is_its_turn:
            space.give(10)
        await asyncio.wait_for(space.take(10), 60)

    asyncio.run(run())
