"""Waiting until everything is stopped, for programs whose volumes in memory last only while they run."""  # noqa: INP001 - they lie side by side

from __future__ import annotations

import signal

_ENDS = {signal.SIGTERM, signal.SIGINT}


def wait_until_stopped() -> None:
    """Return when this container is told to stop."""
    # Blocked only now: children that were started before would have inherited it and never ended.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    signal.sigwait(_ENDS)
