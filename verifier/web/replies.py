"""What is sent back: a reply that knows no web framework, and RFC 9457 problem details for every no."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

# What every reply has unless it says otherwise.
HARDENED: Mapping[str, str] = MappingProxyType({"x-content-type-options": "nosniff", "cache-control": "no-store"})
JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"

_TITLES = {
    "malformed": "The request cannot be read",
    "rejected": "The request is refused",
    "cannot-decide": "No verdict is possible now",
    "not-found": "There is nothing here",
    "method": "This method is not allowed here",
    "timeout": "The request did not arrive in time",
    "too-large": "The request is too large",
    "media-type": "The media type is not supported",
    "rate": "Too many requests",
    "bug": "The verifier failed",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, body, media type, and further headers. The server adds length and what every reply has.

    ``after`` is called once the whole reply was handed to the connection, and not at all where the client has left.
    """

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    after: Callable[[], None] | None = None

    def fields(self) -> list[tuple[str, str]]:
        """Return all header fields, names in lower case: these, the body's, and what every reply has."""
        fields = {**HARDENED, **{name.lower(): value for name, value in self.headers}}
        if self.content_type:
            fields["content-type"] = self.content_type
        if self.status != HTTPStatus.NOT_MODIFIED:  # it has no content
            fields["content-length"] = str(len(self.body))
        return list(fields.items())


def json_reply(text: str) -> Reply:
    """Return a reply of JSON text."""
    return Reply(200, text.encode())


def problem(
    status: int,
    code: str,
    *,
    check_id: str,
    detail: str,
    retry_after: int = 0,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """Build a problem document. ``detail`` never holds a reference value, a secret or a token. ``retry_after`` is seconds; 0: none."""
    body: dict[str, Any] = {
        "type": f"urn:vault-attestation-bridge:problem:{code}",
        "title": _TITLES[code],
        "status": status,
        "detail": detail,
        "code": code,
        "check_id": check_id,
    }
    more = {**(headers or {}), **({"Retry-After": str(retry_after)} if retry_after else {})}
    return Reply(status, json.dumps(body).encode(), PROBLEM_TYPE, tuple(more.items()))
