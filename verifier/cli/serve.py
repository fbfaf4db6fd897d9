"""``verifier serve``: bring the store up to date, then gunicorn and the worker as processes, watched until told to stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import click
import structlog

from verifier.adapters.child import fork_child
from verifier.adapters.logs import configure_logging
from verifier.adapters.settings_source import load_settings
from verifier.compose import prepare
from verifier.core.console import Answer, answers
from verifier.core.dumps import forbid_core_dumps
from verifier.core.exits import Exit
from verifier.core.settings import Settings

_POLL_S = 0.2
_WORKER_BACKOFF_S = 2.0


@contextlib.contextmanager
def _metrics_folder(settings: Settings) -> Iterator[None]:
    """Give prometheus_client an empty folder: values of a run before this one must not be added to this one's."""
    made = settings.metrics_dir or tempfile.mkdtemp(prefix="vab-metrics-")
    Path(made).mkdir(parents=True, exist_ok=True)
    for stale in Path(made).glob("*.db"):
        stale.unlink()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = made
    try:
        yield
    finally:
        if not settings.metrics_dir:
            shutil.rmtree(made, ignore_errors=True)


class _Children:
    """The processes of one ``serve``: gunicorn, and the worker that is restarted when it dies."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = False
        self._from_web, self._to_parent = Pipe(duplex=False)
        self._listens = False
        self.web = fork_child("verifier-web", self._serve)
        self.worker: BaseProcess | None = None
        self._worker_at = 0.0

    # prometheus_client reads where its numbers go when it is imported: in the children, after _metrics_folder.

    def _serve(self) -> None:
        from verifier import server

        server.run(self._settings, lambda: self._to_parent.send_bytes(b"listens"))

    def _work(self) -> None:
        from verifier import worker

        worker.run(self._settings)

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Ask both to finish; gunicorn lets requests in flight end."""
        self._stopping = True
        for child in (self.worker, self.web):
            if child is not None and child.exitcode is None:
                child.terminate()

    def watch(self, *, with_worker: bool) -> int:
        """Wait for gunicorn to end; keep the worker alive from its readiness on. Returns gunicorn's exit status."""
        while (status := self.web.exitcode) is None:
            dead = self.worker is None or self.worker.exitcode is not None
            self._listens = self._listens or self._from_web.poll()
            due = with_worker and self._listens and not self._stopping
            if due and dead and time.monotonic() >= self._worker_at:
                self._worker_at = time.monotonic() + _WORKER_BACKOFF_S
                self.worker = fork_child("verifier-worker", self._work)
            time.sleep(_POLL_S)
        self.stop()
        if self.worker is not None:
            self.worker.join()
        return status


@click.command("serve")
@click.option("--config", type=click.Path(dir_okay=False), envvar="VAB_CONFIG", help="File with the settings (TOML).")
@click.option("--check", is_flag=True, help="Check settings, keys, store and trust documents, and stop.")
@answers
def command(config: str | None, check: bool) -> Answer:
    """Serve the API until SIGTERM.

    Start gunicorn, which answers requests, and the worker, which does what the clock demands.

    Settings come from the TOML file and from VAB_… environment variables; a variable wins. Unsafe combinations are refused by
    name.
    """
    forbid_core_dumps()  # gunicorn and the worker are forks of this process
    settings = load_settings(config)
    if check:
        told: list[str] = []
        prepare(settings, lambda event, fields: told.append(f"{event}: {dict(fields)}"))
        _try_compose(settings)
        return Answer(
            {"outcome": "ok", "base_url": settings.base_url},
            f"{settings.base_url}: settings, keys and store are fit to serve",
            hints=tuple(told),
        )
    configure_logging(settings.log_level)
    prepare(settings, _tell)
    with _metrics_folder(settings):
        children = _Children(settings)
        signal.signal(signal.SIGTERM, children.stop)
        signal.signal(signal.SIGINT, children.stop)
        status = children.watch(with_worker=settings.run_worker)
    code = Exit.DONE if status in (0, -signal.SIGTERM) else Exit.UNDECIDED
    return Answer({"outcome": "stopped", "status": status}, f"stopped (status {status})", code)


def _tell(event: str, fields: Mapping[str, Any]) -> None:
    structlog.get_logger("verifier.serve").warning(event, **fields)


def _try_compose(settings: Settings) -> None:
    from verifier.compose import compose

    parts = compose(settings)
    parts.store.ping()
    now = parts.clock.now_ms() // 1000
    for tenant in settings.tenants:
        parts.keys.signing_key(tenant, now)
        parts.keys.answer_key(tenant, now)
    parts.store.close()
