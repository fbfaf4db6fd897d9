"""gunicorn in this process: gthread workers, preloaded application, graceful stop. Started by ``verifier serve``."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from verifier.adapters.logs import configure_logging
from verifier.core.settings import Settings


def build_app(settings: Settings) -> Flask:
    """Compose the object graph and the Flask application on it."""
    from verifier.compose import compose
    from verifier.web.app import create_app

    return create_app(compose(settings))


class Server(BaseApplication):  # type: ignore[misc] # gunicorn has no annotations
    """gunicorn without a configuration file: everything comes from the settings."""

    def __init__(self, settings: Settings, on_ready: Callable[[], None]) -> None:
        self._settings = settings
        self._on_ready = on_ready
        super().__init__()

    def load_config(self) -> None:
        """Hand the settings to gunicorn."""
        settings = self._settings
        values: dict[str, Any] = {
            "bind": settings.bind,
            "workers": settings.workers or os.cpu_count() or 1,
            "worker_class": "gthread",
            "threads": settings.threads,
            "preload_app": True,
            "graceful_timeout": settings.graceful_timeout_s,
            "timeout": 60,
            "keepalive": 15,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            # The body limit is Flask's; these bound what comes before it.
            "limit_request_line": 2048,
            "limit_request_fields": 50,
            "proc_name": "vab-verifier",
            # A second way to manage this process is one more to guard; `verifier serve` is the only one.
            "control_socket_disable": True,
            "when_ready": self._say_ready,
            "child_exit": _forget_worker,
            "post_worker_init": _spare_the_collector,
        }
        if settings.tls_certificate:
            values |= {"certfile": settings.tls_certificate, "keyfile": settings.tls_key, "ssl_context": _tls_context}
        for name, value in values.items():
            self.cfg.set(name, value)

    def _say_ready(self, _arbiter: Any) -> None:
        self._on_ready()

    def load(self) -> Flask:
        """Build the application, once, before workers are forked."""
        return build_app(self._settings)


def _tls_context(_config: Any, default: Any) -> Any:
    import ssl

    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _spare_the_collector(_worker: Any) -> None:
    # What was loaded before the fork lives as long as the process: the collector need not walk it, and a request makes a few
    # thousand objects that reference counting alone frees.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _forget_worker(_server: Any, worker: Any) -> None:
    # Live gauges of a dead worker must not be summed; its counters must (prometheus_client's multiprocess mode).
    from prometheus_client.multiprocess import mark_process_dead

    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        mark_process_dead(worker.pid)  # type: ignore[no-untyped-call] # prometheus_client leaves it bare


def run(settings: Settings, on_ready: Callable[[], None]) -> None:
    """Run gunicorn in this process until it is told to stop; ``on_ready`` is called once it listens."""
    configure_logging(settings.log_level)
    Server(settings, on_ready).run()
