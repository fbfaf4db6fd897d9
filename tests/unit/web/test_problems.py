"""Every kind of no as its caller sees it, as the log has it, and as the metrics count it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
from flask import abort
from flask.testing import FlaskClient
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger
from werkzeug.test import TestResponse

from verifier.formats.errors import BridgeError, CannotDecide, ConfigError, EvidenceRejected, MalformedEvidence
from verifier.web import problems
from verifier.web.app import new_app
from verifier.web.problems import (
    Problems,
    broken_http,
    head_too_large,
    rate_limited,
    too_large,
    too_slow,
    unsupported_media,
    wrong_method,
)

INSIDE = "a secret that an exception happens to name"


@dataclass
class FixedClock:
    """A clock that a test moves."""

    ms: int = 1_795_000_000_000

    def now_ms(self) -> int:
        """Return the time."""
        return self.ms


@dataclass
class Bench:
    """An application whose one route raises what it is told, and what it logs."""

    clock: FixedClock = field(default_factory=FixedClock)
    logger: CapturingLogger = field(default_factory=CapturingLogger)
    raises: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        """One for all requests, as in a process: it samples."""
        self.problems = Problems(self.clock)

    def client(self) -> FlaskClient:
        """Build the application."""
        app = new_app("bench", self.problems)

        def route() -> str:
            self.raises()
            return "nothing"

        app.add_url_rule("/say", "say", route, methods=["POST"])
        return app.test_client()

    def lines(self) -> list[dict[str, Any]]:
        """Return the log, line by line."""
        return [{"level": call.method_name, **json.loads(call.args[0])} for call in self.logger.calls]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    processors: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    monkeypatch.setattr(problems, "_log", structlog.wrap_logger(made.logger, processors=processors))
    return made


def said(bench: Bench, error: Exception | Callable[[], None]) -> TestResponse:
    def throw() -> None:
        if isinstance(error, Exception):
            raise error
        error()

    bench.raises = throw
    return bench.client().post("/say")


def counted(outcome: str, check_id: str, endpoint: str = "say") -> float:
    labels = {"outcome": outcome, "check_id": check_id, "endpoint": endpoint}
    return REGISTRY.get_sample_value("vab_refusals_total", labels) or 0.0


KINDS: dict[str, tuple[Exception, int, str, str]] = {
    "malformed": (MalformedEvidence("wire.body", "body: got x, want y"), 400, "malformed", "wire.body"),
    "rejected": (EvidenceRejected("binding.user-data", "user data"), 403, "rejected", "binding.user-data"),
    "cannot-decide": (CannotDecide("service.store", INSIDE), 503, "cannot-decide", "service.store"),
    "rate": (rate_limited(7), 429, "rate", "service.rate"),
    "too-large": (too_large(5), 413, "too-large", "wire.size"),
    "head": (head_too_large(5), 431, "too-large", "wire.size"),
    "slow": (too_slow("body", 5), 408, "timeout", "wire.slow"),
    "http": (broken_http("no"), 400, "malformed", "wire.http"),
    "method": (wrong_method("GET"), 405, "method", "service.method"),
    "media-type": (unsupported_media("text/plain", "application/json"), 415, "media-type", "wire.media-type"),
    "bug": (RuntimeError(INSIDE), 500, "bug", "service.bug"),
    "config": (ConfigError("settings", "key", INSIDE, "another"), 500, "bug", "service.bug"),
    "unknown-no": (BridgeError("service.odd", INSIDE), 500, "bug", "service.bug"),
}
COUNTED = {
    "rate": "rejected",
    **dict.fromkeys(("media-type", "too-large", "timeout", "method"), "malformed"),
    "config": "bug",
}


@pytest.mark.parametrize(("error", "status", "code", "check_id"), KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_no_is_a_problem_with_its_status(
    bench: Bench, error: Exception, status: int, code: str, check_id: str
) -> None:
    reply = said(bench, error)

    assert (reply.status_code, reply.content_type) == (status, "application/problem+json")
    body = reply.get_json()
    assert body.keys() == {"type", "title", "status", "detail", "code", "check_id"}
    assert (body["status"], body["code"], body["check_id"]) == (status, code, check_id)
    assert body["type"] == f"urn:vault-attestation-bridge:problem:{code}"
    assert body["title"]
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("error", "status", "code", "check_id"), KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_no_is_counted(bench: Bench, error: Exception, status: int, code: str, check_id: str) -> None:
    del status
    outcome = COUNTED.get(code, code)
    before = counted(outcome, check_id)
    said(bench, error)

    assert counted(outcome, check_id) == before + 1


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (CannotDecide("service.store", "gone"), "5"),
        (CannotDecide("sev-snp.endorsement.crl", "none", retry_after=60), "60"),
        (rate_limited(7), "7"),
        (EvidenceRejected("wire.signature", "no"), None),
        (MalformedEvidence("wire.body", "no"), None),
        (RuntimeError("no"), None),
    ],
)
def test_only_what_may_pass_says_when_to_come_again(bench: Bench, error: Exception, retry_after: str | None) -> None:
    assert said(bench, error).headers.get("Retry-After") == retry_after


@pytest.mark.parametrize("kind", ["cannot-decide", "bug", "config", "unknown-no"])
def test_what_is_ours_alone_is_not_told_to_the_caller(bench: Bench, kind: str) -> None:
    """Paths, database errors and tracebacks are the operator's: the log has them."""
    reply = said(bench, KINDS[kind][0])

    assert INSIDE not in reply.text
    assert "Traceback" not in reply.text
    assert "Error" not in reply.text
    assert INSIDE in json.dumps(bench.lines())


def test_a_bug_is_logged_with_its_traceback_and_without_locals(bench: Bench) -> None:
    def fail() -> None:
        local_secret = "in a local variable"  # noqa: S105 - no secret
        raise RuntimeError(str(len(local_secret)))

    said(bench, fail)
    (line,) = bench.lines()

    assert (line["level"], line["event"], line["endpoint"]) == ("error", "bug", "say")
    assert "RuntimeError: 19" in line["exception"]
    assert line["exception"].count("in a local variable") == line["exception"].count('= "in a local variable"')


@pytest.mark.parametrize(
    ("status", "code", "check_id"),
    [
        (404, "not-found", "service.route"),
        (405, "method", "service.method"),
        (413, "too-large", "wire.size"),
        (415, "media-type", "wire.media-type"),
        (400, "malformed", "wire.http"),
        (408, "malformed", "wire.http"),
        (500, "bug", "service.bug"),
        (501, "bug", "service.bug"),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(bench: Bench, status: int, code: str, check_id: str) -> None:
    reply = said(bench, lambda: abort(status))
    body = reply.get_json()

    assert reply.content_type == "application/problem+json"
    assert (body["code"], body["check_id"]) == (code, check_id)
    assert reply.status_code == body["status"] == (500 if code == "bug" else status)


def test_a_wrong_method_says_which_are_right(bench: Bench) -> None:
    reply = bench.client().get("/say")

    assert reply.status_code == 405
    assert set(reply.headers["Allow"].split(", ")) == {"POST", "OPTIONS"}


def test_an_unknown_path_is_a_problem(bench: Bench) -> None:
    reply = bench.client().get("/nothing")

    assert (reply.status_code, reply.get_json()["check_id"]) == (404, "service.route")


def test_refusals_are_logged_once_a_second_for_each_check_and_the_rest_is_counted(bench: Bench) -> None:
    before = counted("rejected", "wire.signature")
    client = bench.client()
    bench.raises = _raising(EvidenceRejected("wire.signature", "no"))
    for _ in range(50):
        client.post("/say")
    bench.raises = _raising(MalformedEvidence("wire.body", "no"))
    client.post("/say")
    bench.clock.ms += 1_000
    bench.raises = _raising(EvidenceRejected("wire.signature", "no"))
    client.post("/say")

    lines = [(line["check_id"], line["held_back"]) for line in bench.lines()]
    assert lines == [("wire.signature", 0), ("wire.body", 0), ("wire.signature", 49)]
    assert counted("rejected", "wire.signature") == before + 51


def _raising(error: Exception) -> Callable[[], None]:
    def throw() -> None:
        raise error

    return throw


def test_a_refusal_in_the_log_says_who_what_and_not_more_than_a_line(bench: Bench) -> None:
    said(bench, MalformedEvidence("wire.body", "x" * 10_000))
    (line,) = bench.lines()

    assert (line["level"], line["outcome"], line["check_id"]) == ("warning", "malformed", "wire.body")
    assert line["source"] == "127.0.0.1"
    assert line["detail"] == "x" * 500
