"""What a service tells systemd (sd_notify(3)): that it is ready, reloads, stops, and still lives. Says nothing where nobody asked."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier:
    """Datagrams to the socket that ``NOTIFY_SOCKET`` names. A service manager that does not listen stops nothing."""

    @classmethod
    def of_this_process(cls) -> Notifier:
        """Read this process's environment, and take out what its children must not use: gunicorn would say READY too."""
        taken = {name: os.environ.pop(name) for name in _VARIABLES if name in os.environ}
        return cls(taken)

    def __init__(self, environment: Mapping[str, str]) -> None:
        name = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for the zero byte of an abstract name.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        usec = environment.get("WATCHDOG_USEC", "")
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Twice in the time, as sd_watchdog_enabled(3) has it.
        self._period_s = int(usec) / 2_000_000 if usec.isdigit() and is_ours else 0.0
        self._beat_at = 0.0

    def ready(self, status: str) -> None:
        """Say that the service serves: after the start, and after a reload."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        """Say that a reload began (``Type=notify-reload`` waits for READY after this time)."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Say that the service ends."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Give the line that ``systemctl status`` shows."""
        self._send(f"STATUS={text}")

    def alive(self) -> None:
        """Feed the watchdog, where there is one and it is time."""
        now = time.monotonic()
        if self._period_s and now - self._beat_at >= self._period_s:
            self._beat_at = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(0)
            try:
                sender.sendto(text.encode(), self._address)
            except OSError:
                return  # it is told for the manager's sake: nothing of ours hangs on it
