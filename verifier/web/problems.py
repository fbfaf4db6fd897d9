"""Every no as a reply, in the log and in the metrics. The only module that knows HTTP statuses, and the only broad handler."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import structlog

from verifier.core.ids import ServiceId, WireId
from verifier.core.ports import Clock
from verifier.formats.errors import BridgeError, CannotDecide, EvidenceRejected, MalformedEvidence
from verifier.service.readiness import Report
from verifier.service.refused import Refused
from verifier.web.limits import Sampler
from verifier.web.metrics import count_refusal, count_verdict
from verifier.web.replies import Reply, json_reply, problem

_log = structlog.get_logger("verifier.web")
_SHOWN = 500  # of a detail, in a log line


class HttpRefusal(Exception):
    """A no of HTTP's own: what was sent is no request that this service takes."""

    def __init__(self, reply: Reply, *, outcome: str, check_id: str, detail: str) -> None:
        super().__init__(detail)
        self.reply = reply
        self.outcome = outcome
        self.check_id = check_id
        self.detail = detail


def _refused(status: int, code: str, check_id: str, detail: str, **more: int | dict[str, str]) -> HttpRefusal:
    reply = problem(status, code, check_id=check_id, detail=detail, **more)  # type: ignore[arg-type]
    return HttpRefusal(reply, outcome="rejected" if code == "rate" else "malformed", check_id=check_id, detail=detail)


def rate_limited(retry_after: int) -> HttpRefusal:
    """The caller asks too often; seconds until it may again."""
    return _refused(429, "rate", ServiceId.RATE, "too many requests from this address", retry_after=retry_after)


def unsupported_media(got: str, want: str) -> HttpRefusal:
    """The body's media type is not the one that the route takes."""
    return _refused(415, "media-type", WireId.MEDIA_TYPE, f"Content-Type: got {got or 'none'}, want {want}")


def too_large(cap: int) -> HttpRefusal:
    """The body is larger than its route takes."""
    return _refused(413, "too-large", WireId.SIZE, f"body: got more than {cap} bytes, want at most {cap}")


def head_too_large(cap: int) -> HttpRefusal:
    """Request line and header fields are larger than any client of this service needs."""
    return _refused(431, "too-large", WireId.SIZE, f"request head: got more than {cap} bytes, want at most {cap}")


def too_slow(what: str, seconds: float) -> HttpRefusal:
    """The client took longer to send a part of its request than it may."""
    return _refused(408, "timeout", WireId.SLOW, f"{what}: not there after {seconds:g} s")


def broken_http(detail: str) -> HttpRefusal:
    """What was sent is not HTTP/1.1."""
    return _refused(400, "malformed", WireId.HTTP, detail)


def no_route() -> HttpRefusal:
    """Nothing is served under this path, or for this tenant."""
    return _refused(404, "not-found", ServiceId.ROUTE, "no such resource")


def wrong_method(allowed: str) -> HttpRefusal:
    """The path is served, by other methods."""
    return _refused(405, "method", ServiceId.METHOD, f"method: want {allowed}", headers={"Allow": allowed})


def http_refusal(status: int | None, detail: str | None, headers: Iterable[tuple[str, str]]) -> Exception:
    """Word what a web framework refused. A status of its own failure is a bug like any other."""
    allowed = next((value for name, value in headers if name == "Allow"), "")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return wrong_method(allowed)
    code, check_id = {
        404: ("not-found", ServiceId.ROUTE),
        413: ("too-large", WireId.SIZE),
        415: ("media-type", WireId.MEDIA_TYPE),
    }.get(status or 500, ("malformed", WireId.HTTP))
    if status is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return RuntimeError(f"the framework failed: {status} {detail}")
    return _refused(status, code, check_id, detail or "")


class Problems:
    """Turns what was raised into a reply. Every no is counted; the log gets one a second for each check."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sampler = Sampler()

    def reply(self, error: Exception, endpoint: str, source: str) -> Reply:
        """Count, log and word an exception. ``endpoint``: the route's name, "" for none; ``source``: the caller's address."""
        if isinstance(error, HttpRefusal):
            self._say(error.outcome, error.check_id, error.detail, endpoint, source)
            return error.reply
        if isinstance(error, MalformedEvidence | EvidenceRejected | CannotDecide):
            self._say(error.outcome, error.check_id, error.detail, endpoint, source, _told_of(error))
            return _reply(error)
        count_refusal("bug", ServiceId.BUG, endpoint)
        # A request that finds a bug can be sent again and again: one line a second for each place where it was raised.
        if (held_back := self._sampler.admit(f"{ServiceId.BUG} {_place(error)}", self._clock.now_ms())) is not None:
            # The traceback goes to the log, never to the caller; its frames hold no secrets by construction (no locals are dumped).
            _log.error("bug", endpoint=endpoint, exc_info=error, held_back=held_back)
        return problem(500, "bug", check_id=ServiceId.BUG, detail="an unexpected error; the log has it")

    def _say(
        self,
        outcome: str,
        check_id: str,
        detail: str,
        endpoint: str,
        source: str,
        more: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        count_refusal(outcome, check_id, endpoint)
        held_back = self._sampler.admit(f"{check_id} {more.get('reason', '')}", self._clock.now_ms())
        if held_back is not None:
            # Any client can cause refusals: the log gets one a second per check, the metrics get all of them.
            _log.warning(
                "refused",
                outcome=outcome,
                check_id=check_id,
                detail=detail[:_SHOWN],
                source=source,
                **more,
                held_back=held_back,
            )


def _told_of(error: BridgeError) -> Mapping[str, Any]:
    """Count the reason of a refusal that is recorded, and return what the log says of it. No caller hears it."""
    if not isinstance(error, Refused):
        return {}
    count_verdict(error.tenant, error.scheme, error.reason)
    return {"reason": error.reason, "record": error.seq, "tenant": error.tenant, "workload": error.workload}


def _place(error: Exception) -> str:
    """Return kind and line of an exception: as many as the program has lines that raise, whatever callers send."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return f"{type(error).__name__} {where}"


def readiness(report: Report) -> Reply:
    """Answer for readiness: 503 where no login can succeed, else 200; the troubles are named in both."""
    troubles = [one.as_json() for one in report.troubles]
    failure = report.failure
    if failure is None:
        return json_reply(json.dumps({"status": report.status, "troubles": troubles}))
    count_refusal("cannot-decide", failure.check_id, "readyz")
    detail = "no login can succeed now; the log has more"
    reply = problem(503, "cannot-decide", check_id=failure.check_id, detail=detail, retry_after=failure.retry_after)
    return replace(reply, body=json.dumps({**json.loads(reply.body), "troubles": troubles}).encode())


def _reply(error: BridgeError) -> Reply:
    if isinstance(error, MalformedEvidence):
        return problem(400, "malformed", check_id=error.check_id, detail=error.detail)
    if isinstance(error, CannotDecide):
        detail = "something needed for a verdict is not there; try again later"
        return problem(503, "cannot-decide", check_id=error.check_id, detail=detail, retry_after=error.retry_after)
    return problem(403, "rejected", check_id=error.check_id, detail=error.detail)
