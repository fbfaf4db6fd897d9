"""Logs as JSON lines on standard output; secrets and tokens are never among the values that callers pass.

Everything that has something to say goes one way, ``log_writer``: structlog's loggers, the standard library's (gunicorn's among them),
and what a thread dies of. None of it can block or fail the one who says it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from verifier.adapters.log_writer import MAX_LINE, LogState, LogWriter

_ROOM: Final = MAX_LINE - 2  # a line end before it, where one was torn, and one behind it
_SHORTEST: Final = 64
_writer: LogWriter | None = None


def configure_logging(level: str, *, on_lost: Callable[[int], None] | None = None) -> None:
    """Set logging up for this process. ``on_lost`` counts lines that nobody took, as they are lost."""
    global _writer  # noqa: PLW0603 - one standard output a process
    if _writer is None:
        _writer = LogWriter(notice=_notice)
    if on_lost is not None:
        _writer.on_lost = on_lost
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, StandardLines)]:
        root.removeHandler(handler)
    root.addHandler(StandardLines(logging.WARNING))
    logging.captureWarnings(capture=True)
    threading.excepthook = _thread_died


def log_state() -> LogState:
    """Tell whether this process's lines leave; a process that never logged has no trouble."""
    return LogState("", 0, 0) if _writer is None else _writer.state()


def render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    """Make one line of at most ``MAX_LINE`` bytes with its end. The longest texts are cut in their middle, and ``cut`` says so."""
    line = _dump(event)
    while len(line) > _ROOM:
        name = max(event, key=lambda key: len(event[key]) if isinstance(event[key], str) else 0)
        if not isinstance(event[name], str) or len(event[name]) <= _SHORTEST:
            kept = {key: event[key] for key in ("event", "level", "timestamp", "check_id") if key in event}
            return _dump({**kept, "cut": sorted(str(key) for key in event)[:20]})[:_ROOM]
        keep = max(_SHORTEST, len(event[name]) - 2 * (len(line) - _ROOM) - _SHORTEST, len(event[name]) // 8)
        event[name] = f"{event[name][: keep // 4]} […] {event[name][-(keep - keep // 4) :]}"[: len(event[name]) - 1]
        event["cut"] = True
        line = _dump(event)
    return line


def _dump(event: MutableMapping[str, Any]) -> bytes:
    return json.dumps(dict(event), default=repr).encode("ascii")


def _notice(lost: int) -> bytes:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return _dump({"event": "log-lines-lost", "lines": lost, "level": "error", "timestamp": now})


class _Lines:
    """structlog's last step: hands the rendered line on."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def msg(self, line: bytes) -> None:
        """Hand a line on."""
        if _writer is not None:
            _writer.put(line)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


class StandardLines(logging.Handler):
    """The standard library's log records as the same JSON lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand a record on."""
        if _writer is None:
            return
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit their message
            text = str(record.msg)
        event: dict[str, Any] = {"event": text, "logger": record.name, "level": record.levelname.lower()}
        event["timestamp"] = datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z")
        if record.exc_info and record.exc_info[0] is not None:
            event["exception"] = logging.Formatter().formatException(record.exc_info)
        _writer.put(render(None, "", event))


def _thread_died(arguments: threading.ExceptHookArgs) -> None:
    # The default writes to standard error, which may be the pipe that nobody empties.
    thread = arguments.thread.name if arguments.thread is not None else "unknown"
    value = arguments.exc_value
    logging.getLogger("verifier").error(
        "thread-died: %s",
        thread,
        exc_info=None if value is None else (arguments.exc_type, value, arguments.exc_traceback),
    )
