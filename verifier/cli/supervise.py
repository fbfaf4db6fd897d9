"""The processes of one ``verifier serve``: gunicorn and the worker, watched, and replaced when the settings are read again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing import Pipe
from multiprocessing.process import BaseProcess
from types import FrameType

import structlog

from verifier.adapters.child import fork_child
from verifier.adapters.listener import Listener
from verifier.adapters.notify import Notifier
from verifier.core.settings import Settings
from verifier.formats.errors import BridgeError, ConfigError

_POLL_S = 0.1
_WORKER_BACKOFF_S = 2.0
_READY_S = 120.0  # what a check, and a new gunicorn until it listens, may take
_log = structlog.get_logger("verifier.serve")

ReadSettings = Callable[[], Settings]
CheckSettings = Callable[[Settings], None]


class _Web:
    """One gunicorn: its process, the settings it has, the socket it listens at, and whether it does yet."""

    def __init__(self, settings: Settings, listeners: Sequence[Listener]) -> None:
        self.settings = settings
        self.listeners = listeners
        self._from_web, self._to_parent = Pipe(duplex=False)
        self._listens = False
        self.began = time.monotonic()
        self.process = fork_child("verifier-web", self._serve)
        self._to_parent.close()

    def _serve(self) -> None:
        # prometheus_client reads where its numbers go when it is imported: in the children, after the folder is there.
        from verifier import server

        lent = [listener.lend() for listener in self.listeners]
        server.run(self.settings, lambda: self._to_parent.send_bytes(b"listens"), binds=lent)

    @property
    def listens(self) -> bool:
        """Tell whether it serves."""
        if not self._listens and self._from_web.poll():
            try:
                self._listens = bool(self._from_web.recv_bytes())
            except EOFError:
                return False  # it died first
        return self._listens

    def close(self) -> None:
        """Release what the parent has of it, once it ended."""
        self._from_web.close()


class Supervisor:
    """Keeps one gunicorn and one worker; SIGHUP reads the settings again and lets new processes take over."""

    def __init__(self, settings: Settings, read: ReadSettings, check: CheckSettings) -> None:
        self._read = read
        self._check = check
        self._notifier = Notifier.of_this_process()
        self._stopping = False
        self._reload_asked = False
        self._is_ready = False
        self._worker: BaseProcess | None = None
        self._worker_at = 0.0
        self._checking: tuple[BaseProcess, Settings] | None = None
        self._checking_since = 0.0
        self._next: _Web | None = None
        self._old: list[_Web] = []
        for number, handler in (
            (signal.SIGTERM, self._on_stop),
            (signal.SIGINT, self._on_stop),
            (signal.SIGHUP, self._on_reload),
        ):
            signal.signal(number, handler)
        self._web = _Web(settings, [Listener(bind, setting) for bind, setting in _binds(settings)])

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload_asked = True

    def watch(self) -> int:
        """Wait for gunicorn to end; keep the worker alive from its readiness on. Returns gunicorn's exit status."""
        asked_to_end = False
        while (status := self._web.process.exitcode) is None:
            self._notifier.alive()
            if self._stopping and not asked_to_end:
                asked_to_end = True
                self._notifier.stopping()
                self._end_all()
            if not self._stopping:
                self._say_ready()
                self._keep_worker()
                self._go_on_reloading()
            time.sleep(_POLL_S)
        self._end_all()
        webs = [web for web in (self._web, *self._old, self._next) if web is not None]
        for child in (self._worker, *(web.process for web in webs)):
            if child is not None:
                child.join()
        for listener in {listener for web in webs for listener in web.listeners}:
            listener.close()
        return status

    def _end_all(self) -> None:
        """Ask all to finish; gunicorn lets requests in flight end, the worker gives its lease back."""
        others = [web.process for web in (*self._old, self._next) if web is not None]
        checking = [self._checking[0]] if self._checking is not None else []
        for child in (self._worker, self._web.process, *others, *checking):
            if child is not None and child.exitcode is None:
                child.terminate()

    def _say_ready(self) -> None:
        if not self._is_ready and self._web.listens:
            self._is_ready = True
            self._notifier.ready(f"serves {self._web.settings.base_url}")

    def _keep_worker(self) -> None:
        """Start the worker once gunicorn listens, and again when it died."""
        if self._worker is not None and self._worker.exitcode is None:
            return
        is_due = time.monotonic() >= self._worker_at
        if self._web.settings.run_worker and self._web.listens and is_due:
            self._worker_at = time.monotonic() + _WORKER_BACKOFF_S
            web = self._web

            def work() -> None:
                from verifier import worker

                for listener in web.listeners:
                    listener.close(is_owner=False)  # else the port stays taken when all that serve are gone
                worker.run(web.settings)

            self._worker = fork_child("verifier-worker", work)

    # --- settings read again ------------------------------------------------------------------------------------------

    def _go_on_reloading(self) -> None:
        """Take one step: look at the new settings in a process of its own, start gunicorn with them, let the old one go."""
        self._old = [web for web in self._old if not self._is_gone(web)]
        if self._next is not None:
            self._go_on_starting(self._next)
        elif self._checking is not None:
            self._go_on_checking(*self._checking)
        elif self._reload_asked and self._is_ready:
            self._reload_asked = False
            self._begin_reload()

    def _begin_reload(self) -> None:
        self._notifier.reloading()
        _log.info("reload-begins")
        try:
            settings = self._read()
        except ConfigError as error:
            self._refuse(error)
            return
        if settings.metrics_dir != self._web.settings.metrics_dir:
            self._refuse(ConfigError("settings", "metrics_dir", settings.metrics_dir, "no change without a restart"))
            return

        def check() -> None:
            try:
                self._check(settings)
            except ConfigError as error:
                _log.error("reload-refused", where=error.where, key=error.key, got=str(error.got), want=error.want)
                raise SystemExit(1) from None
            except BridgeError as error:
                _log.error("reload-refused", check_id=error.check_id, detail=error.detail)
                raise SystemExit(1) from None

        # In a process of its own: it may hang, load what is not needed, or open what a fork must not have.
        self._checking = (fork_child("verifier-check", check), settings)
        self._checking_since = time.monotonic()

    def _go_on_checking(self, child: BaseProcess, settings: Settings) -> None:
        if child.exitcode is None:
            if time.monotonic() - self._checking_since > _READY_S:
                child.kill()
            return
        self._checking = None
        if child.exitcode != 0:
            self._end_reload("the settings that were read again are refused: see the log; the old ones go on")
            return
        try:
            self._next = _Web(settings, self._listeners_for(settings))
        except ConfigError as error:
            self._refuse(error)

    def _listeners_for(self, settings: Settings) -> list[Listener]:
        """Return the sockets of new settings: those that are open already, others opened; none is left open where one cannot be."""
        held = {listener.bind: listener for listener in self._web.listeners}
        found: list[Listener] = []
        try:
            for bind, setting in _binds(settings):
                found.append(held.get(bind) or Listener(bind, setting))
        except ConfigError:
            self._close_unused(found)
            raise
        return found

    def _close_unused(self, listeners: Sequence[Listener]) -> None:
        for listener in listeners:
            if listener not in self._web.listeners:
                listener.close()

    def _go_on_starting(self, web: _Web) -> None:
        if web.listens:
            old, self._web, self._next = self._web, web, None
            self._old.append(old)
            old.process.terminate()
            if self._worker is not None and self._worker.exitcode is None:
                self._worker.terminate()  # it gives its lease back; the next one has the new settings
            self._worker_at = 0.0
            _log.info("reloaded", base_url=web.settings.base_url)
            self._end_reload(f"serves {web.settings.base_url}")
        elif web.process.exitcode is not None or time.monotonic() - web.began > _READY_S:
            if web.process.exitcode is None:
                web.process.kill()
                web.process.join()
            self._next = None
            web.close()
            self._close_unused(web.listeners)
            _log.error("reload-failed", status=web.process.exitcode)
            self._end_reload("gunicorn did not start with the new settings; the old ones go on")

    def _refuse(self, error: ConfigError) -> None:
        _log.error("reload-refused", where=error.where, key=error.key, got=str(error.got), want=error.want)
        self._end_reload("the settings that were read again are refused: see the log; the old ones go on")

    def _end_reload(self, status: str) -> None:
        self._notifier.ready(status)

    def _is_gone(self, web: _Web) -> bool:
        if web.process.exitcode is None:
            return False
        web.close()
        self._close_unused(web.listeners)
        return True


def _binds(settings: Settings) -> tuple[tuple[str, str], ...]:
    return (settings.bind, "bind"), (settings.admin_bind, "admin_bind")
