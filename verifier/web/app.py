"""The Flask application: routes in, problems out. Bodies are read once, validated by ``core.wire``, decided by ``service``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from verifier.core.settings import MAX_REQUEST_BYTES
from verifier.core.wire import ChallengeRequest, EnrolmentProof, EnrolmentRequest, parse_model
from verifier.formats.encoding import b64url
from verifier.formats.errors import CannotDecide, MalformedEvidence
from verifier.service.attest import Service
from verifier.service.enrol import Enrolments
from verifier.service.parts import Parts
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.token.jwks import DISCOVERY_PATH, JWKS_PATH
from verifier.web import metrics, problems
from verifier.web.limits import RateLimit, Readiness
from verifier.web.openapi import document_bytes
from verifier.web.problems import RateLimited, UnsupportedMedia

JSON_TYPE = "application/json"
JOSE_TYPE = "application/jose"
_DRAIN_BYTES = 2 * MAX_REQUEST_BYTES
_CHUNK_BYTES = 64 * 1024
_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_log = structlog.get_logger("verifier.web")


@dataclass(frozen=True, slots=True)
class Api:
    """What the routes need: the service, enrolments, and the parts behind them."""

    parts: Parts
    service: Service
    enrolments: Enrolments
    limit: RateLimit


def create_app(parts: Parts) -> Flask:
    """Build the application. Called once before gunicorn forks: nothing here opens a connection or starts a thread."""
    app = Flask("verifier", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES
    app.url_map.strict_slashes = True
    api = Api(parts, Service(parts), Enrolments(parts), RateLimit(parts.settings.rate_per_minute))
    problems.install(app, parts.clock)
    _add_attestation(app, api)
    _add_enrolment(app, api)
    _add_discovery(app, parts)
    _add_health(app, parts)
    app.after_request(_harden)
    return app


def _harden(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"
    return response


def _body(media_type: str) -> bytes:
    if request.mimetype != media_type:
        _drain()
        raise UnsupportedMedia(request.content_type or "", media_type)
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        _drain()
        raise
    # Without a Content-Length (chunked) the stream ends at the limit and says nothing of what it left out.
    if request.content_length is None and len(body) >= MAX_REQUEST_BYTES:
        _drain()
        raise RequestEntityTooLarge
    return body


def _drain() -> None:
    """Read away a body that is refused, up to a bound: a client still sending would see a broken pipe and not the answer."""
    source = request.environ["wsgi.input"]
    left = _DRAIN_BYTES
    while left > 0 and (chunk := source.read(min(left, _CHUNK_BYTES))):
        left -= len(chunk)


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


def _limited(api: Api, handler: Callable[..., Response]) -> Callable[..., Response]:
    def limited(**path: str) -> Response:
        retry_after = api.limit.admit(_source(), api.parts.clock.now_ms())
        if retry_after:
            raise RateLimited(retry_after)
        return handler(**path)

    return limited


def _route(app: Flask, rule: str, name: str, method: str, handler: Callable[..., Response]) -> None:
    app.add_url_rule(rule, name, _timed(name, handler), methods=[method])


def _json(text: str, status: int = 200) -> Response:
    return Response(text, status=status, content_type=JSON_TYPE)


def _add_attestation(app: Flask, api: Api) -> None:
    def challenge() -> Response:
        wanted = parse_model(ChallengeRequest, _body(JSON_TYPE))
        nonce, expires_in = api.service.challenge(wanted.tenant, wanted.workload)
        metrics.CHALLENGES.labels(wanted.tenant).inc()
        return _json(f'{{"nonce":"{b64url(nonce)}","expires_in":{expires_in}}}')

    def attest() -> Response:
        outcome = api.service.attest(_body(JOSE_TYPE), _source())
        metrics.ATTESTATIONS.labels(outcome.tenant, outcome.scheme).inc()
        _log.info("attested", seq=outcome.seq, workload=outcome.workload_uuid, scheme=outcome.scheme, jti=outcome.jti)
        return _json(f'{{"answer":"{outcome.answer}"}}')

    _route(app, "/v1/challenges", "challenges", "POST", _limited(api, challenge))
    _route(app, "/v1/attestations", "attestations", "POST", _limited(api, attest))


def _add_enrolment(app: Flask, api: Api) -> None:
    def ask() -> Response:
        wanted = parse_model(EnrolmentRequest, _body(JSON_TYPE))
        made = api.enrolments.challenge(wanted)
        return _json(
            f'{{"credential_blob":"{b64url(made.credential_blob)}","encrypted_secret":"{b64url(made.encrypted_secret)}",'
            f'"state":"{b64url(made.state)}","expires_in":{made.expires_in}}}'
        )

    def prove(ak_name: str) -> Response:
        # One spelling a Name: bytes.fromhex alone takes capitals and blanks.
        if not _HEX.fullmatch(ak_name):
            raise MalformedEvidence(EnrolmentId.AK_NAME, "ak_name: want lower-case hex")
        name = bytes.fromhex(ak_name)
        tenant = api.enrolments.enrol(name, parse_model(EnrolmentProof, _body(JSON_TYPE)))
        metrics.ENROLMENTS.labels(tenant).inc()
        _log.info("enrolled", tenant=tenant, ak_name=name.hex())
        return Response(status=204)

    _route(app, "/v1/tpm2/enrolments", "enrolments", "POST", _limited(api, ask))
    _route(app, "/v1/tpm2/enrolments/<ak_name>", "enrolment", "PUT", _limited(api, prove))


def _cached(document: tuple[bytes, str], max_age: int) -> Response:
    body, etag = document
    response = Response(body, content_type=JSON_TYPE)
    response.headers["Cache-Control"] = f"public, max-age={max_age}"
    response.headers["ETag"] = etag
    response.make_conditional(request)
    return response


def _add_discovery(app: Flask, parts: Parts) -> None:
    # Any client can make Vault refetch (docs/vault.md), so these are static bytes, made anew only when the keys change.
    def public(find: Callable[[str, int], tuple[bytes, str]]) -> Callable[..., Response]:
        def serve(tenant: str) -> Response:
            if tenant not in parts.settings.tenants:
                return problems.not_found()
            return _cached(find(tenant, parts.clock.now_ms() // 1000), parts.settings.jwks_max_age_s)

        return serve

    _route(app, f"/t/<tenant>{DISCOVERY_PATH}", "discovery", "GET", public(parts.keys.discovery))
    _route(app, f"/t/<tenant>{JWKS_PATH}", "jwks", "GET", public(parts.keys.jwks))


def _add_health(app: Flask, parts: Parts) -> None:
    def livez() -> Response:
        return _json('{"status":"alive"}')

    def probe() -> None:
        now = parts.clock.now_ms() // 1000
        parts.store.ping()
        for tenant in parts.settings.tenants:
            parts.keys.signing_key(tenant, now)
            parts.keys.answer_key(tenant, now)

    readiness = Readiness(probe)

    def readyz() -> Response:
        try:
            readiness.require(parts.clock.now_ms())
        except CannotDecide:
            metrics.READY.set(0)
            raise
        metrics.READY.set(1)
        return _json('{"status":"ready"}')

    def exposition() -> Response:
        body, content_type = metrics.render()
        return Response(body, content_type=content_type)

    def openapi() -> Response:
        return _json(document_bytes().decode())

    _route(app, "/livez", "livez", "GET", livez)
    _route(app, "/readyz", "readyz", "GET", readyz)
    _route(app, "/metrics", "metrics", "GET", exposition)
    _route(app, "/v1/openapi.json", "openapi", "GET", openapi)
