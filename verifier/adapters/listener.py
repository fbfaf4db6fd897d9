"""The socket that clients connect to. ``verifier serve`` owns it, so that one gunicorn can take it over from another."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import time
from pathlib import Path

from verifier.formats.errors import ConfigError

_TRIES_S = 5.0  # a process of the run before may still be ending


class Listener:
    """A bound socket; gunicorn calls ``listen``. Closing it removes a Unix socket's file."""

    def __init__(self, bind: str, setting: str = "bind") -> None:
        self.bind = bind
        self._setting = setting
        self._path = bind.removeprefix("unix:").removeprefix("//") if bind.startswith("unix:") else ""
        deadline = time.monotonic() + _TRIES_S
        while (made := self._try_open(is_last=time.monotonic() > deadline)) is None:
            time.sleep(0.1)
        self._socket = made

    def lend(self) -> str:
        """Return what gunicorn, in this very process, is told to listen at. It owns the socket from then on."""
        return f"fd://{self._socket.detach()}"

    def close(self, *, is_owner: bool = True) -> None:
        """Close it; a child that has no use for it is not its owner."""
        self._socket.close()
        if self._path and is_owner:
            with contextlib.suppress(OSError):
                Path(self._path).unlink()

    def _try_open(self, *, is_last: bool) -> socket.socket | None:
        try:
            return self._open()
        except OSError as error:
            if error.errno == errno.EADDRINUSE and not is_last:
                return None
            raise ConfigError(
                "settings", self._setting, self.bind, f"an address to listen at: {error.strerror}"
            ) from None

    def _open(self) -> socket.socket:
        if self._path:
            return self._open_unix()
        host, _, port = self.bind.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not port.isdigit():
            raise ConfigError("settings", self._setting, self.bind, "ADDRESS:PORT or unix:PATH")
        try:
            found = socket.getaddrinfo(host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (socket.gaierror, OverflowError) as error:
            raise ConfigError("settings", self._setting, self.bind, f"an address of this machine: {error}") from None
        family, _kind, _protocol, _name, address = found[0]
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
        except OSError:
            made.close()
            raise
        return made

    def _open_unix(self) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(Path(self._path).stat().st_mode):
                raise ConfigError("settings", self._setting, self.bind, "a path that is free, or a socket's")
            Path(self._path).unlink()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0)  # who may connect is said by the folder's mode
        try:
            made.bind(self._path)
        except OSError:
            made.close()
            raise
        finally:
            os.umask(before)
        return made
