"""``verifier serve``: bring the store up to date, then gunicorn and the worker as processes, watched until told to stop."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import structlog

from verifier.adapters.log_writer import flush_all
from verifier.adapters.logs import configure_logging
from verifier.adapters.settings_source import load_settings
from verifier.cli.supervise import Supervisor
from verifier.compose import Tell, connection_budget, prepare
from verifier.core.console import Answer, answers
from verifier.core.dumps import forbid_core_dumps
from verifier.core.exits import Exit
from verifier.core.settings import Settings
from verifier.formats.errors import ConfigError

_log = structlog.get_logger("verifier.serve")


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


@click.command("serve")
@click.option("--config", type=click.Path(dir_okay=False), envvar="VAB_CONFIG", help="File with the settings (TOML).")
@click.option("--check", is_flag=True, help="Check settings, keys, store and trust documents, and stop.")
@answers
def command(config: str | None, check: bool) -> Answer:
    """Serve the API until SIGTERM; read everything again at SIGHUP.

    Start gunicorn, which answers requests, and the worker, which does what the clock demands. SIGHUP reads settings, certificates,
    anchors, keys and trust documents again: new processes take over the socket, and no request is lost. What does not pass --check
    is refused, and the old processes go on.

    Settings come from the TOML file and from VAB_… environment variables; a variable wins. Unsafe combinations are refused by
    name.
    """
    forbid_core_dumps()  # gunicorn and the worker are forks of this process
    settings = load_settings(config)
    if check:
        told: list[str] = []
        check_settings(settings, lambda event, fields: told.append(f"{event}: {dict(fields)}"))
        return Answer(
            {"outcome": "ok", "base_url": settings.base_url},
            f"{settings.base_url}: settings, keys and store are fit to serve",
            hints=tuple(told),
        )
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to replace
    configure_logging(settings.log_level)
    _try_tls(settings)
    prepare(settings, _tell, _log)
    _log.info("database-connections", **connection_budget(settings))
    with _metrics_folder(settings):
        status = Supervisor(settings, lambda: load_settings(config), lambda new: check_settings(new, _tell)).watch()
    code = Exit.DONE if status in (0, -signal.SIGTERM) else Exit.UNDECIDED
    # Standard output is the log's by now, whose reader may be stuck or gone: its last line leaves as every other.
    configure_logging(settings.log_level)
    _log.info("stopped", status=status, exit=int(code))
    flush_all()
    raise SystemExit(int(code))


def _tell(event: str, fields: Mapping[str, Any]) -> None:
    _log.warning(event, **fields)


def check_settings(settings: Settings, tell: Tell) -> None:
    """Look at all that a start needs; raises ``ConfigError`` or ``CannotDecide`` for what is missing or wrong."""
    _try_tls(settings)
    prepare(settings, tell)
    _try_compose(settings)


def _try_tls(settings: Settings) -> None:
    if not settings.tls_certificate:
        return
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        got = f"{settings.tls_certificate}, {settings.tls_key}: {error}"
        raise ConfigError("settings", "tls_certificate", got, "a certificate and its private key, in PEM") from None


def _try_compose(settings: Settings) -> None:
    from verifier.compose import compose

    parts = compose(settings)
    parts.store.ping()
    now = parts.clock.now_ms() // 1000
    for tenant in settings.tenants:
        parts.keys.signing_key(tenant, now)
        parts.keys.answer_key(tenant, now)
    parts.store.close()
