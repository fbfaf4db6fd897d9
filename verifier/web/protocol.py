"""HTTP/1.1 on one connection: uvicorn's protocol, with deadlines, bounds, and refusals as problem documents.

A client that sends nothing holds a socket and no thread, and not for long: the head of a request has 10 s from its first byte (or
from the connection), its body 30 s from its head. Source: RFC 9112; docs/adr/0024-event-loop.md.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from verifier.web.problems import HttpRefusal, Problems, broken_http, head_too_large, too_slow
from verifier.web.replies import Reply

HANDSHAKE_S: Final = 10.0
HEAD_S: Final = 10.0
BODY_S: Final = 30.0
HEAD_BYTES: Final = 16 * 1024
_HEAD, _BODY = "request head", "body"


class BoundedProtocol(HttpToolsProtocol):
    """A connection. ``problems`` words what is refused before there is a request."""

    def __init__(self, problems: Problems, **named: Any) -> None:
        super().__init__(**named)
        self._problems = problems
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._waits_for = _HEAD  # "" between two requests
        self._timed = ""  # what the deadline is for

    def connection_made(self, transport: Any) -> None:
        """Start the clock for the first head."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "has_left": transport.is_closing}
        self._keep_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, within the bounds of a head."""
        if self._waits_for != _BODY:
            self._head_bytes += len(data)
        super().data_received(data)
        self._keep_time()
        if self._waits_for != _BODY and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self._refuse(head_too_large(HEAD_BYTES))

    def on_message_begin(self) -> None:
        """Note that a head has begun."""
        self._waits_for = _HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that the body comes next."""
        self._head_bytes = 0
        self._waits_for = _BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note that the request is here."""
        self._waits_for = ""
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        self._refuse(broken_http(msg))

    def _keep_time(self) -> None:
        """Start, change or stop the clock. A request that comes in one piece needs none."""
        if self._waits_for != self._timed or self.transport.is_closing():
            self._disarm()
            if self._waits_for and not self.transport.is_closing():
                self._timed = self._waits_for
                seconds = BODY_S if self._timed == _BODY else HEAD_S
                self._deadline = self.loop.call_later(seconds, self._expire, self._timed, seconds)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._timed = ""

    def _expire(self, what: str, seconds: float) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self._refuse(too_slow(what, seconds))

    def _refuse(self, refusal: HttpRefusal) -> None:
        """Answer in the place of the application, and close; where an answer was begun already, only close."""
        self._disarm()
        source = self.client[0] if self.client else ""
        reply = self._problems.reply(refusal, "other", source)
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_as_http(reply))
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()


def _as_http(reply: Reply) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in [*reply.fields(), ("connection", "close")])
    return f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n{head}\r\n".encode("latin-1") + reply.body
