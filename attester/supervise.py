"""Start a command with its secrets, and leave none of them behind.

Without files the attester becomes the command (``exec``): its memory, token and all, is gone. With files somebody has to
remove them at the end, so the process forks *before* it asks for anything: the child attests, writes the files and becomes
the command; the parent never holds a secret, forwards signals, waits, removes the files and passes the exit code on.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from attester.memfile import MemoryFile, unwritten
from verifier.formats.errors import CannotDecide, ConfigError

_FORWARDED = frozenset(
    {
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGQUIT,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
    }
)
_NOT_FOUND, _NOT_EXECUTABLE, _BY_SIGNAL = 127, 126, 128
# A pipe takes this much without a reader (PIPE_BUF is 4096); a record of a file is some 150 bytes.
_PIPE_SIZE = 64 * 1024


def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by the command. Raises ``ConfigError`` where it cannot be started."""
    try:
        os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - the operator's own command, no shell
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "a NUL byte in an argument or variable"
        raise ConfigError("command line", "COMMAND", command[0], f"a program that can be started: {reason}") from None


class Remover:
    """The child's end of the pipe on which it tells its parent, file by file, what is to be removed."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def made(self, file: MemoryFile) -> None:
        """Name a file before its secret can outlive us. Nobody is left who would remove it: then we do, and start nothing."""
        record = json.dumps([str(file.path), file.device, file.inode]).encode() + b"\n"
        try:
            with unwritten("the attester's own pipe"):
                os.write(self._fd, record)
        except CannotDecide:
            file.remove()
            raise


def run_supervised(child: Callable[[Remover], NoReturn]) -> int:
    """Fork; let the child attest and become the command; clean up after it. Returns the exit code to leave with.

    Signals are blocked before the fork, so that none is lost between it and the wait.
    """
    caught = {*_FORWARDED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, caught)
    read_end, write_end = os.pipe()  # both close on exec
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        child(Remover(write_end))
    os.close(write_end)
    try:
        return _wait(pid, caught)
    finally:
        _remove(read_end)
        os.close(read_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait(pid: int, caught: set[signal.Signals]) -> int:
    while True:
        seen = signal.sigwaitinfo(caught)
        if seen.si_signo == signal.SIGCHLD:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else _BY_SIGNAL - code
        elif seen.si_code <= 0:
            # From a process (SI_USER and below). What the terminal sends reaches the child by itself: both are in its group.
            with suppress(ProcessLookupError):
                os.kill(pid, seen.si_signo)


def _remove(read_end: int) -> None:
    os.set_blocking(read_end, False)
    written = b""
    with suppress(BlockingIOError):
        while chunk := os.read(read_end, _PIPE_SIZE):
            written += chunk
    for line in written.splitlines():
        path, device, inode = json.loads(line)
        MemoryFile(Path(path), device, inode).remove()
