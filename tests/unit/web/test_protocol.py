"""What a connection may do before there is a request: deadlines, the size of a head, and refusals as problem documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from verifier.adapters.clock import SystemClock
from verifier.web import protocol as module
from verifier.web.problems import Problems
from verifier.web.protocol import HEAD_BYTES, BoundedProtocol

pytestmark = pytest.mark.slow
HEAD = b"POST /x HTTP/1.1\r\nHost: a\r\n"


async def _echo(
    scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Read the body and send it back."""
    assert not scope["state"]["has_left"]()
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return
        body += message["body"]
        more = message["more_body"]
    head = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


def talk(*pieces: bytes) -> bytes:
    """Send pieces and return all that came back until the connection was closed."""

    async def run() -> bytes:
        problems = Problems(SystemClock())
        config = Config(_echo, http=BoundedProtocol, ws="none", lifespan="off", log_config=None)
        config.load()
        state = ServerState()
        server = await asyncio.get_running_loop().create_server(
            lambda: BoundedProtocol(problems, config=config, server_state=state, app_state={}), "127.0.0.1", 0
        )
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            answer = await reader.read()
            writer.close()
        return answer

    return asyncio.run(asyncio.wait_for(run(), 60))


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEAD_S", 0.05)
    monkeypatch.setattr(module, "BODY_S", 0.05)


def refused(answer: bytes) -> tuple[int, str]:
    """Return status and check id of one refusal that closes the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"content-type: application/problem+json" in head
    document = json.loads(body)
    assert document["status"] == int(head.split()[1])
    return document["status"], document["check_id"]


def test_a_request_in_one_piece_is_answered() -> None:
    answer = talk(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /x", HEAD, HEAD + b"Content-Length: 3\r\n\r\nab", HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nab"],
    ids=["nothing", "half a line", "half a head", "half a body", "half a chunk"],
)
@pytest.mark.usefixtures("in_a_hurry")
def test_what_does_not_come_in_time_is_refused_and_closed(sent: bytes) -> None:
    assert refused(talk(sent)) == (408, "wire.slow")


@pytest.mark.usefixtures("in_a_hurry")
def test_the_second_request_of_a_connection_has_a_deadline_too() -> None:
    answer = talk(HEAD + b"Content-Length: 3\r\n\r\nabc" + HEAD)
    first, _, rest = answer.partition(b"abc")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert refused(rest) == (408, "wire.slow")


@pytest.mark.parametrize(
    "sent",
    [
        HEAD + b"X: " + b"a" * HEAD_BYTES,
        HEAD + b"X: a\r\n" * (HEAD_BYTES // 6),
        b"GET /" + b"a" * HEAD_BYTES,
    ],
    ids=["a field", "fields", "a path"],
)
def test_a_head_that_is_too_large_is_refused_before_it_is_whole(sent: bytes) -> None:
    assert refused(talk(sent)) == (431, "wire.size")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc",
        HEAD + b"Content-Length: many\r\n\r\n",
        b"HELO example.com\r\n\r\n",
    ],
    ids=["TLS", "chunk size", "length", "another protocol"],
)
def test_what_is_no_http_is_malformed(sent: bytes) -> None:
    assert refused(talk(sent)) == (400, "wire.http")


def test_a_body_as_large_as_it_likes_has_no_head_limit() -> None:
    body = bytes(4 * HEAD_BYTES)
    answer = talk(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body), body)
    assert answer.endswith(body)
