"""gunicorn in this process, with workers that run one event loop each: the public listener, and the operator's.

gunicorn forks, watches and ends the workers; uvicorn speaks HTTP in them. docs/adr/0024-event-loop.md says why.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from uvicorn.config import Config
from uvicorn.server import Server as LoopServer
from uvicorn_worker import UvicornWorker  # type: ignore[import-untyped] # it has no annotations

from verifier.adapters.child import end_with_parent
from verifier.adapters.logs import configure_logging
from verifier.adapters.server_log import ServerLog
from verifier.core.settings import Settings
from verifier.web.gateway import Asgi, Gateway
from verifier.web.problems import Problems
from verifier.web.protocol import HANDSHAKE_S, BoundedProtocol

KEEP_ALIVE_S: Final = 15


@dataclass(frozen=True, slots=True)
class Apps:
    """What the two listeners serve; ``admin`` is a WSGI application."""

    public: Gateway
    admin: Any
    problems: Problems


def build_apps(settings: Settings) -> Apps:
    """Compose the object graph and the applications on it."""
    from verifier.compose import compose
    from verifier.web.app import create_admin, create_app

    parts = compose(settings)
    problems = Problems(parts.clock)
    return Apps(Gateway(parts, create_app(parts, problems), problems), create_admin(parts, problems), problems)


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no annotations
    """gunicorn without a configuration file: everything comes from the settings."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None], binds: Sequence[str]) -> None:
        self._settings = settings
        self._binds = list(binds)
        self._on_ready = on_ready
        super().__init__()

    def load_config(self) -> None:
        """Hand the settings to gunicorn."""
        settings = self._settings
        values: dict[str, Any] = {
            "bind": self._binds,
            "workers": settings.workers or os.cpu_count() or 1,
            "worker_class": LoopWorker,
            "preload_app": True,
            "graceful_timeout": settings.graceful_timeout_s,
            "timeout": 60,
            "keepalive": KEEP_ALIVE_S,
            "backlog": 2048,
            "accesslog": None,
            "errorlog": "-",
            "logger_class": ServerLog,
            "loglevel": "warning",
            "proc_name": "vab-verifier",
            # A second way to manage this process is one more to guard; `verifier serve` is the only one.
            "control_socket_disable": True,
            "when_ready": self._say_ready,
            "child_exit": _forget_worker,
        }
        for name, value in values.items():
            self.cfg.set(name, value)
        self.cfg.verifier = settings  # LoopWorker reads it

    def _say_ready(self, arbiter: Any) -> None:
        # Sockets that were lent are not this process's: gunicorn leaves the files of systemd's sockets alone, and theirs.
        arbiter.systemd = True
        self._on_ready()

    def load(self) -> Apps:
        """Build the applications, once, before workers are forked."""
        return build_apps(self._settings)


class _Listeners(LoopServer):
    """uvicorn's server on two sockets that serve different applications; TLS on the public one alone."""

    def __init__(self, public: Config, admin: Config, tls: ssl.SSLContext | None, problems: Problems) -> None:
        super().__init__(public)
        self._problems = problems
        self._each = ((public, tls), (admin, None))

    async def startup(self, sockets: Any = None) -> None:
        """Listen. ``sockets``: the public one and the operator's, as gunicorn bound them."""
        loop = asyncio.get_running_loop()
        self.servers = []
        for sock, (config, tls) in zip(sockets, self._each, strict=True):
            if not config.loaded:
                config.load()
            deadline = HANDSHAKE_S if tls is not None else None
            self.servers.append(
                await loop.create_server(
                    self._protocol_of(config),
                    sock=sock,
                    ssl=tls,
                    backlog=config.backlog,
                    ssl_handshake_timeout=deadline,
                )
            )
        self.started = True

    def _protocol_of(self, config: Config) -> Callable[[], BoundedProtocol]:
        return lambda: BoundedProtocol(self._problems, config=config, server_state=self.server_state, app_state={})


class LoopWorker(UvicornWorker):  # type: ignore[misc] # it has no annotations
    """A gunicorn worker: one event loop, two listeners."""

    CONFIG_KWARGS: Final[dict[str, Any]] = {
        "loop": "uvloop", "http": BoundedProtocol, "ws": "none", "lifespan": "off", "proxy_headers": False,
        "server_header": False, "access_log": False,
    }  # fmt: skip

    async def _serve(self) -> None:
        from a2wsgi import WSGIMiddleware

        apps: Apps = self.wsgi
        settings: Settings = self.cfg.verifier
        apps.public.start()
        self.config.app = apps.public
        self.config.timeout_graceful_shutdown = settings.graceful_timeout_s
        admin: Asgi = WSGIMiddleware(apps.admin, workers=2)  # type: ignore[assignment]
        for_admin = Config(admin, log_config=None, **self.CONFIG_KWARGS)
        server = _Listeners(self.config, for_admin, tls_context(settings), apps.problems)
        self._install_sigquit_handler()
        end_with_parent()
        _spare_the_collector()
        _allow_files()
        await server.serve(sockets=self.sockets)
        if not server.started:
            sys.exit(Arbiter.WORKER_BOOT_ERROR)


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Load the certificate of the service; ``None`` where TLS ends in front of it."""
    if not settings.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    return context


def _allow_files() -> None:
    """Allow as many open files as the system lets this process have: each connection is one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _spare_the_collector() -> None:
    # What was loaded before the fork lives as long as the process: the collector need not walk it, and a request makes a few
    # thousand objects that reference counting alone frees.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _forget_worker(_server: Any, _worker: Any) -> None:
    # What it counted stays, in one file for all that died.
    from verifier.web.metrics_files import compact

    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        with suppress(OSError):  # a full disk; the next one that dies takes it along
            compact(folder)


def run(settings: Settings, on_ready: Callable[[], None], *, binds: Sequence[str]) -> None:
    """Run gunicorn in this process until it is told to stop; ``on_ready`` is called once it listens.

    ``binds``: the public and the operator's socket, bound by ``verifier serve`` (``fd://7``).
    """
    from verifier.web import metrics

    configure_logging(settings.log_level, on_lost=metrics.LOG_LINES_LOST.inc)
    Server(settings, on_ready, binds).run()
