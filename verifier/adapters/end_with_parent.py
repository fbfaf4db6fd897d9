"""A process that ends when its parent does: nothing of ``verifier serve`` goes on serving when that was killed."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping

# Set by `verifier serve` for its children; without it a process was started by hand and has no parent to follow.
PARENT_VARIABLE = "_VERIFIER_SERVE_PID"
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent(environment: Mapping[str, str]) -> None:
    """Ask the kernel for SIGTERM when the parent ends, and end now if it has already. Linux alone knows how; elsewhere nothing."""
    parent = environment.get(PARENT_VARIABLE, "")
    if not parent.isdecimal() or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(0)
