"""The Flask applications behind the event loop: what is rare and may block (enrolments), and what is the operator's (health, metrics).

Bodies are read by ``gateway`` before a thread is given to a request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from verifier.core.wire import EnrolmentProof, EnrolmentRequest, parse_model
from verifier.formats.encoding import b64url
from verifier.formats.errors import MalformedEvidence
from verifier.service.enrol import Enrolments
from verifier.service.parts import Parts
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.web import metrics
from verifier.web.health import Health
from verifier.web.openapi import document_bytes
from verifier.web.problems import Problems, http_refusal, readiness, unsupported_media
from verifier.web.replies import HARDENED, JSON_TYPE, Reply

_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_log = structlog.get_logger("verifier.web")


def create_app(parts: Parts, problems: Problems) -> Flask:
    """Build the public routes that are not hot. Called before gunicorn forks: no connection is opened."""
    app = new_app("verifier", problems)
    _add_enrolment(app, Enrolments(parts))
    _route(app, "/v1/openapi.json", "openapi", "GET", lambda: _json(document_bytes().decode()))
    return app


def create_admin(parts: Parts, problems: Problems) -> Flask:
    """Build the operator's routes."""
    app = new_app("verifier-admin", problems)
    _add_health(app, parts)
    return app


def new_app(name: str, problems: Problems) -> Flask:
    """Return an application without routes, every no of which is a problem document."""
    app = Flask(name, static_folder=None)
    app.url_map.strict_slashes = True

    def answer(error: Exception) -> Response:
        raised = (
            http_refusal(error.code, error.description, error.get_headers())
            if isinstance(error, HTTPException)
            else error
        )
        return _response(problems.reply(raised, request.endpoint or "", _source()))

    app.register_error_handler(Exception, answer)
    app.after_request(_harden)
    return app


def _response(reply: Reply) -> Response:
    response = Response(reply.body, status=reply.status, content_type=reply.content_type)
    response.headers.extend(reply.headers)
    return response


def _harden(response: Response) -> Response:
    for name, value in HARDENED.items():
        response.headers.setdefault(name, value)
    return response


def _body(media_type: str) -> bytes:
    if request.mimetype != media_type:
        raise unsupported_media(request.content_type or "", media_type)
    return request.get_data(cache=False)


def _source() -> str:
    return request.remote_addr or ""


def _timed(endpoint: str, handler: Callable[..., Response]) -> Callable[..., Response]:
    seconds = metrics.SECONDS.labels(endpoint)

    def timed(**path: str) -> Response:
        start = time.perf_counter()
        try:
            return handler(**path)
        finally:
            seconds.observe(time.perf_counter() - start)

    return timed


def _route(app: Flask, rule: str, name: str, method: str, handler: Callable[..., Response]) -> None:
    app.add_url_rule(rule, name, _timed(name, handler), methods=[method])


def _json(text: str, status: int = 200) -> Response:
    return Response(text, status=status, content_type=JSON_TYPE)


def _add_enrolment(app: Flask, enrolments: Enrolments) -> None:
    def ask() -> Response:
        wanted = parse_model(EnrolmentRequest, _body(JSON_TYPE))
        made = enrolments.challenge(wanted)
        return _json(
            f'{{"credential_blob":"{b64url(made.credential_blob)}","encrypted_secret":"{b64url(made.encrypted_secret)}",'
            f'"state":"{b64url(made.state)}","expires_in":{made.expires_in}}}'
        )

    def prove(ak_name: str) -> Response:
        # One spelling a Name: bytes.fromhex alone takes capitals and blanks.
        if not _HEX.fullmatch(ak_name):
            raise MalformedEvidence(EnrolmentId.AK_NAME, "ak_name: want lower-case hex")
        name = bytes.fromhex(ak_name)
        tenant = enrolments.enrol(name, parse_model(EnrolmentProof, _body(JSON_TYPE)))
        metrics.ENROLMENTS.labels(tenant).inc()
        _log.info("enrolled", tenant=tenant, ak_name=name.hex())
        return Response(status=204)

    _route(app, "/v1/tpm2/enrolments", "enrolments", "POST", ask)
    _route(app, "/v1/tpm2/enrolments/<ak_name>", "enrolment", "PUT", prove)


def _add_health(app: Flask, parts: Parts) -> None:
    def livez() -> Response:
        return _json('{"status":"alive"}')

    health = Health(parts)

    def readyz() -> Response:
        return _response(readiness(health.report()))

    def exposition() -> Response:
        body, content_type = health.exposition.render()
        return Response(body, content_type=content_type)

    _route(app, "/livez", "livez", "GET", livez)
    _route(app, "/readyz", "readyz", "GET", readyz)
    _route(app, "/metrics", "metrics", "GET", exposition)
