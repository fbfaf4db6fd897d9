"""Bodies of requests, read in the event loop: each route's cap, and a bound on what all bodies together hold in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from verifier.core.ids import ServiceId
from verifier.formats.errors import CannotDecide
from verifier.web.problems import broken_http, too_large

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

# Evidence of a CPU is far below; what is larger (event logs) shares a bounded place, so that 64 of them at once do not fill memory.
SMALL_BYTES: Final = 64 * 1024
_SHARED_BYTES: Final = 8 * 1024 * 1024
_WAITING: Final = 64
_DRAIN_FACTOR: Final = 2


class ClientLeft(Exception):
    """The client closed the connection: whatever is done for it now is done for nothing."""


class SharedSpace:
    """Bytes that large bodies may hold at the same time. First come, first served; for one event loop."""

    def __init__(self, size: int = _SHARED_BYTES, waiting: int = _WAITING) -> None:
        self._free = size
        self._most_waiting = waiting
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, size: int) -> None:
        """Wait for so many bytes; ``CannotDecide('service.busy')`` where too many wait already."""
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        if len(self._waiting) >= self._most_waiting:
            raise busy("too many large requests at once")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(size)
            else:
                self._waiting.remove((size, turn))
            raise

    def give(self, size: int) -> None:
        """Give bytes back."""
        self._free += size
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            if not turn.cancelled():
                self._free -= wanted
                turn.set_result(None)


def busy(detail: str) -> CannotDecide:
    """Word that there is more to do than is taken on; the caller comes again."""
    return CannotDecide(ServiceId.BUSY, detail, retry_after=2)


@contextmanager
def given_back(space: SharedSpace, size: int) -> Iterator[None]:
    """Give bytes back at the end of a block."""
    try:
        yield
    finally:
        if size:
            space.give(size)


def declared_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the body's size as declared; ``None`` for a body in chunks, 0 for none."""
    if b"transfer-encoding" in headers:
        return None
    text = headers.get(b"content-length", b"0")
    if not text.isdigit():
        raise broken_http("Content-Length: want decimal digits")
    return int(text)


async def read_body(receive: Receive, cap: int, declared: int | None) -> bytes:
    """Read a whole body of at most ``cap`` bytes.

    One that is too large is read away up to a bound before it is refused (``wire.size``): a client that is still sending would
    see a broken connection and not the answer.
    """
    chunks: list[bytes] = []
    size, left = 0, _DRAIN_FACTOR * max(cap, SMALL_BYTES)
    is_refused = declared is not None and declared > cap
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > cap:
            is_refused = True
            chunks.clear()
        if is_refused and size > left:
            raise too_large(cap)
        if not is_refused:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if is_refused:
        raise too_large(cap)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
