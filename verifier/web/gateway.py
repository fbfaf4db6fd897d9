"""The service as an ASGI application: limits before work, the hot routes in the event loop, everything else by Flask in threads.

A request is admitted (rate, route, media type), read (cap, shared space), judged in its turn, recorded in a group with others, and
answered. Nothing is judged for a client that has left. One loop a process; a thread holds no connection that waits.
Sources: ASGI 3.0; docs/adr/0024-event-loop.md.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from a2wsgi import WSGIMiddleware
from werkzeug.http import parse_etags, unquote_etag

from verifier.core.wire import BODY_CAPS, ChallengeRequest, parse_model
from verifier.formats.addresses import client_of
from verifier.formats.encoding import b64url
from verifier.service.attest import Judged, Service
from verifier.service.parts import Parts
from verifier.token.jwks import DISCOVERY_PATH, JWKS_PATH
from verifier.web import metrics
from verifier.web.bodies import (
    SMALL_BYTES,
    ClientLeft,
    Receive,
    SharedSpace,
    busy,
    declared_length,
    given_back,
    read_body,
)
from verifier.web.commits import GroupCommits
from verifier.web.handover import left
from verifier.web.limits import RateLimit
from verifier.web.problems import Problems, rate_limited, unsupported_media, wrong_method
from verifier.web.replies import JSON_TYPE, Reply, json_reply
from verifier.web.source import Sources

JOSE_TYPE: Final = "application/jose"
PENDING_MAX: Final = 1024  # requests in progress in one process; beyond it a client is told to come again

Send = Callable[[Mapping[str, Any]], Awaitable[None]]
Scope = Mapping[str, Any]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One request: its head read, its body not yet."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    source: str
    receive: Receive
    has_left: Callable[[], bool]


Handler = Callable[[Call], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class _Route:
    """What is served under a path: the metrics' name of it, methods, and what answers."""

    name: str
    methods: tuple[str, ...]
    handle: Handler


class Gateway:
    """The public application. Built before gunicorn forks; ``start`` is called in the process that serves."""

    def __init__(self, parts: Parts, cold: Any, problems: Problems) -> None:
        self._parts = parts
        self._service = Service(parts)
        self._problems = problems
        self._limit = RateLimit(parts.settings.rate_per_minute)
        self._sources = Sources(parts.settings.trusted_proxies)
        self._cold_app = cold
        self._pending = 0
        self._seconds: dict[str, Any] = {}
        self._routes = {
            "/v1/challenges": _Route("challenges", ("POST",), self._challenge),
            "/v1/attestations": _Route("attestations", ("POST",), self._attest),
            **self._documents(),
        }

    def start(self) -> None:
        """Make what belongs to one process and its loop."""
        settings = self._parts.settings
        self._space = SharedSpace()
        self._turn = asyncio.Lock()
        self._large_turn = asyncio.Semaphore(1)
        self._remote_turns = asyncio.Semaphore(settings.threads)
        self._threads = ThreadPoolExecutor(settings.threads, "verifier-judge")
        self._commits = GroupCommits(self._parts.store)
        self._cold = WSGIMiddleware(self._cold_app, workers=settings.threads)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        call, route = self._call(scope, receive), self._routes.get(scope["path"])
        name = route.name if route is not None else "other"
        self._pending += 1
        try:
            if route is None:
                await self._pass_on(call, scope, send)
                return
            reply = await self._reply(route, call)
        except ClientLeft:
            metrics.LEFT.inc()
            return
        except Exception as error:  # noqa: BLE001 - every no, and what no one foresaw, has its reply
            reply = self._problems.reply(error, name, call.source)
        finally:
            self._pending -= 1
            if route is not None:  # Flask times its own
                self._observe(name, time.perf_counter() - started)
        await send_reply(send, reply, is_head=call.method == "HEAD")
        if reply.after is not None and not call.has_left():
            reply.after()

    def _observe(self, name: str, seconds: float) -> None:
        kept = self._seconds.get(name)
        if kept is None:
            kept = self._seconds[name] = metrics.SECONDS.labels(name)
        kept.observe(seconds)

    def _call(self, scope: Scope, receive: Receive) -> Call:
        headers = dict(scope["headers"])
        peer = scope["client"][0] if scope["client"] else ""
        forwarded = (
            [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"]
            if b"x-forwarded-for" in headers
            else ()
        )
        source = self._sources.of(peer, forwarded)
        return Call(scope["method"], scope["path"], headers, source, receive, scope["state"]["has_left"])

    async def _reply(self, route: _Route, call: Call) -> Reply:
        if call.method not in route.methods:
            raise wrong_method(", ".join(route.methods))
        return await route.handle(call)

    # -- before any work ------------------------------------------------------------------------------------------------

    def _count(self, call: Call) -> None:
        """Let a request in, or tell its client when to come again."""
        if self._pending > PENDING_MAX:
            raise busy("too many requests at once")
        retry_after = self._limit.admit(client_of(call.source), self._parts.clock.now_ms())
        if retry_after:
            raise rate_limited(retry_after)

    def _admit(self, call: Call, media_type: str) -> None:
        self._count(call)
        got = call.headers.get(b"content-type", b"").decode("latin-1")
        if got != media_type and got.partition(";")[0].strip().lower() != media_type:
            raise unsupported_media(got, media_type)

    # -- the hot routes -------------------------------------------------------------------------------------------------

    async def _challenge(self, call: Call) -> Reply:
        self._admit(call, JSON_TYPE)
        body = await read_body(call.receive, BODY_CAPS["challenges"], declared_length(call.headers))
        wanted = parse_model(ChallengeRequest, body)
        nonce, expires_in = self._service.challenge(wanted.tenant, wanted.workload)
        metrics.CHALLENGES.labels(wanted.tenant).inc()
        return json_reply(f'{{"nonce":"{b64url(nonce)}","expires_in":{expires_in}}}')

    async def _attest(self, call: Call) -> Reply:
        self._admit(call, JOSE_TYPE)
        declared, cap = declared_length(call.headers), BODY_CAPS["attestations"]
        share = 0
        if declared is None or declared > SMALL_BYTES:
            share = min(declared or cap, cap)
            await self._space.take(share)
        with given_back(self._space, share):
            body = await read_body(call.receive, cap, declared)
            with self._commits.expected():
                judged = await self._judge(body, call)
        committed = await self._commits.commit(judged.record)
        outcome = self._service.answer(judged, committed)
        return Reply(200, f'{{"answer":"{outcome.answer}"}}'.encode(), after=partial(left, outcome))

    async def _judge(self, body: bytes, call: Call) -> Judged:
        """Judge in turn: one a turn of the loop, so that it looks at its sockets between two.

        What may take long goes to a thread: large evidence, one at a time, and all of it where reading the store means to wait
        for another machine.
        """
        if len(body) > SMALL_BYTES:
            async with self._large_turn:
                return await self._judge_in_thread(body, call)
        if not self._parts.store.is_local:
            async with self._remote_turns:
                return await self._judge_in_thread(body, call)
        async with self._turn:
            if call.has_left():
                raise ClientLeft
            return self._service.judge(body, call.source)

    async def _judge_in_thread(self, body: bytes, call: Call) -> Judged:
        if call.has_left():
            raise ClientLeft
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._service.judge, body, call.source)

    # -- keys -----------------------------------------------------------------------------------------------------------

    def _documents(self) -> Mapping[str, _Route]:
        """Return the routes of each tenant's documents. Any client can make Vault fetch them again (docs/vault.md): static bytes."""
        parts, found = self._parts, {}
        for tenant in parts.settings.tenants:
            for name, path, find in (
                ("discovery", DISCOVERY_PATH, parts.keys.discovery),
                ("jwks", JWKS_PATH, parts.keys.jwks),
            ):
                found[f"/t/{tenant}{path}"] = _Route(name, ("GET", "HEAD"), self._document(tenant, find))
        return found

    def _document(self, tenant: str, find: Callable[[str, int], tuple[bytes, str]]) -> Handler:
        parts = self._parts
        max_age = f"public, max-age={parts.settings.jwks_max_age_s}"

        async def serve(call: Call) -> Reply:
            body, etag = find(tenant, parts.clock.now_ms() // 1000)
            headers = (("Cache-Control", max_age), ("ETag", etag))
            if _is_known(call.headers.get(b"if-none-match", b""), etag):
                return Reply(304, b"", "", headers)
            return Reply(200, body, JSON_TYPE, headers)

        return serve

    # -- everything else ------------------------------------------------------------------------------------------------

    async def _pass_on(self, call: Call, scope: Scope, send: Send) -> None:
        """Hand a request to Flask with its whole body, so that a thread never waits for a client."""
        self._count(call)  # paths that lead nowhere are counted too: each takes a thread
        body = b""
        if call.method not in ("GET", "HEAD"):
            body = await read_body(call.receive, BODY_CAPS["enrolments"], declared_length(call.headers))
        sent = False

        async def receive() -> Mapping[str, Any]:
            nonlocal sent
            if sent:
                return await call.receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        client = (call.source, 0)
        await self._cold({**scope, "client": client}, receive, send)  # type: ignore[arg-type]


def _is_known(header: bytes, etag: str) -> bool:
    """Tell whether If-None-Match names the entity tag (RFC 9110 section 13.1.2: weak comparison)."""
    return parse_etags(header.decode("latin-1")).contains_weak(unquote_etag(etag)[0] or "")


async def send_reply(send: Send, reply: Reply, *, is_head: bool = False) -> None:
    """Send a reply as ASGI's two messages."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.fields()]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if is_head else reply.body})
