"""RFC 9457 problem details for every no. The only module that knows HTTP statuses, and the only broad handler."""

from __future__ import annotations

import json
from typing import Any

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from verifier.core.ids import ServiceId, WireId
from verifier.core.ports import Clock
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected, MalformedEvidence
from verifier.web.limits import Sampler
from verifier.web.metrics import count_refusal

PROBLEM_TYPE = "application/problem+json"
_log = structlog.get_logger("verifier.web")

_TITLES = {
    "malformed": "The request cannot be read",
    "rejected": "The request is refused",
    "cannot-decide": "No verdict is possible now",
    "not-found": "There is nothing here",
    "method": "This method is not allowed here",
    "too-large": "The request is too large",
    "media-type": "The media type is not supported",
    "rate": "Too many requests",
    "bug": "The verifier failed",
}


class RateLimited(Exception):
    """The caller asks too often; seconds until it may again."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"retry after {retry_after} s")
        self.retry_after = retry_after


class UnsupportedMedia(Exception):
    """The body's media type is not the one that the route takes."""

    def __init__(self, got: str, want: str) -> None:
        super().__init__(f"Content-Type: got {got or 'none'}, want {want}")


def problem(status: int, code: str, *, check_id: str, detail: str, retry_after: int = 0) -> Response:
    """Build a problem document. ``detail`` never holds a reference value, a secret or a token."""
    body: dict[str, Any] = {
        "type": f"urn:vault-attestation-bridge:problem:{code}",
        "title": _TITLES[code],
        "status": status,
        "detail": detail,
        "code": code,
        "check_id": check_id,
    }
    response = Response(json.dumps(body), status=status, content_type=PROBLEM_TYPE)
    if retry_after:
        response.headers["Retry-After"] = str(retry_after)
    response.headers["Cache-Control"] = "no-store"
    return response


def not_found() -> Response:
    """Answer for a tenant that is not served here."""
    return problem(404, "not-found", check_id=ServiceId.ROUTE, detail="no such resource")


def _known(error: BridgeError, clock: Clock, sampler: Sampler) -> Response:
    count_refusal(error.outcome, error.check_id, request.endpoint or "")
    held_back = sampler.admit(error.check_id, clock.now_ms())
    if held_back is not None:
        # Any client can cause refusals: the log gets one a second per check, the metrics get all of them.
        _log.warning(
            "refused",
            outcome=error.outcome,
            check_id=error.check_id,
            detail=error.detail[:500],
            source=request.remote_addr,
            held_back=held_back,
        )
    if isinstance(error, MalformedEvidence):
        return problem(400, "malformed", check_id=error.check_id, detail=error.detail)
    if isinstance(error, EvidenceRejected):
        return problem(403, "rejected", check_id=error.check_id, detail=error.detail)
    if isinstance(error, CannotDecide):
        detail = "something needed for a verdict is not there; try again later"
        return problem(503, "cannot-decide", check_id=error.check_id, detail=detail, retry_after=error.retry_after)
    raise error


def _http(error: HTTPException) -> Response:
    code, check_id = {
        404: ("not-found", ServiceId.ROUTE),
        405: ("method", ServiceId.METHOD),
        413: ("too-large", WireId.SIZE),
        415: ("media-type", WireId.MEDIA_TYPE),
    }.get(error.code or 500, ("malformed", WireId.HTTP))
    status = error.code or 400
    if status >= 500:  # noqa: PLR2004 - a server-side HTTP error is a bug like any other
        return _unforeseen(error)
    count_refusal("malformed", check_id, request.endpoint or "")
    response = problem(status, code, check_id=check_id, detail=error.description or "")
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _rate(error: RateLimited) -> Response:
    count_refusal("rejected", ServiceId.RATE, request.endpoint or "")
    detail = "too many requests from this address"
    return problem(429, "rate", check_id=ServiceId.RATE, detail=detail, retry_after=error.retry_after)


def _media(error: UnsupportedMedia) -> Response:
    count_refusal("malformed", WireId.MEDIA_TYPE, request.endpoint or "")
    return problem(415, "media-type", check_id=WireId.MEDIA_TYPE, detail=str(error))


def _unforeseen(error: Exception) -> Response:
    # The traceback goes to the log, never to the caller; its frames hold no secrets by construction (no locals are dumped).
    _log.error("bug", endpoint=request.endpoint, exc_info=error)
    count_refusal("bug", ServiceId.BUG, request.endpoint or "")
    return problem(500, "bug", check_id=ServiceId.BUG, detail="an unexpected error; the log has it")


def install(app: Flask, clock: Clock) -> None:
    """Hang every kind of no on the app."""
    sampler = Sampler()
    app.register_error_handler(BridgeError, lambda error: _known(error, clock, sampler))
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(RateLimited, _rate)
    app.register_error_handler(UnsupportedMedia, _media)
    app.register_error_handler(Exception, _unforeseen)
