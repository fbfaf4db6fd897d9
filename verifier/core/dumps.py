"""No core dump of a process that holds keys or secrets: neither a file, nor a copy for a crash handler, nor another's ptrace.

Both programs call ``forbid_core_dumps`` before they read a key. It is the one module of this floor that changes its process.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Final

from verifier.formats.errors import ConfigError

# linux/prctl.h
_PR_SET_DUMPABLE: Final = 4


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and of what it forks. Raises ``ConfigError`` where the kernel refuses.

    The limit of 0 also holds for a program that is executed later. The flag does not: the kernel sets it anew at exec. The flag is
    needed beside the limit: ``core_pattern`` may name a program, and that one gets its copy whatever the limit is. With the flag,
    only root may read the process's memory or trace it.
    """
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError) as error:
        raise _refused("RLIMIT_CORE", str(error)) from error
    if sys.platform.startswith("linux"):  # elsewhere there is no such flag
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
            raise _refused("PR_SET_DUMPABLE", os.strerror(ctypes.get_errno()))


def _refused(key: str, why: str) -> ConfigError:
    return ConfigError("this process", key, why, "a kernel and a sandbox that let a process forbid its own core dumps")
