"""gunicorn's own log, the way of every other line: JSON, through the log writer; no stuck reader stops the master."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from verifier.adapters.logs import StandardLines


class ServerLog(Logger):  # type: ignore[misc] # gunicorn has no annotations
    """gunicorn's logger with one handler of ours in the place of its streams and files."""

    def _set_handler(self, log: Any, _output: Any, _fmt: Any, stream: Any = None) -> None:
        del stream
        for old in [one for one in log.handlers if isinstance(one, StandardLines)]:
            log.removeHandler(old)
        log.addHandler(StandardLines())
