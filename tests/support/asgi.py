"""A client of an ASGI application in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from verifier.web.gateway import Gateway


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body."""
        return json.loads(self.body)


async def ask(
    gateway: Gateway,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    peer: str = "127.0.0.1",
    has_left: bool = False,
) -> Answered | None:
    """Send one request whose body comes in one piece; ``None`` where no answer was made. The gateway was started in this loop."""
    fields = {"content-length": str(len(body)), **(headers or {})}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "",
        "scheme": "http", "http_version": "1.1", "client": (peer, 1) if peer else None, "server": ("127.0.0.1", 1),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in fields.items()],
        "state": {"has_left": lambda: has_left},
    }  # fmt: skip
    left, sent = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive() -> Mapping[str, Any]:
        if left:
            return left.pop()
        return await asyncio.Future()  # nothing more comes

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await gateway(scope, receive, send)
    if not sent:
        return None
    heads = {name.decode(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answered(sent[0]["status"], heads, b"".join(message.get("body", b"") for message in sent[1:]))
