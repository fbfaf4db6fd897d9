"""Run a command where there is no network: in a namespace of its own that has a loopback and no route.

    python3 tools/offline.py -- COMMAND…     run it; its exit status is ours
    python3 tools/offline.py --probe         say by the exit status whether this machine lets us (0 yes, 3 no)

What passes in there needs nothing but this machine. Needs `unshare` (util-linux) and either root or user namespaces.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import sys
from pathlib import Path

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 1
_UNDECIDED, _USAGE = 3, 64
_ROUTES = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))


def _command(*words: str) -> list[str]:
    """Return what runs this program again, inside; a user who is not root stays who he is."""
    mine = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", *mine, "--net", sys.executable, __file__, *words]


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _UP))


def routes() -> list[str]:
    """Return the routes of this namespace that lead over anything but the loopback."""
    found = []
    for path in _ROUTES:
        lines = path.read_text().splitlines() if path.exists() else []
        head = 1 if path.name == "route" else 0
        found += [line for line in lines[head:] if "lo" not in (line.split()[0], line.split()[-1])]
    return found


def main(words: list[str]) -> int:
    """Enter the namespace, or be inside it already."""
    if words == ["--probe"]:
        try:
            return (
                subprocess.run(_command("--inside", "true"), check=False, capture_output=True).returncode and _UNDECIDED
            )
        except OSError:
            return _UNDECIDED
    if words[:1] == ["--"] and len(words) > 1:
        os.execvp("unshare", _command("--inside", *words[1:]))  # noqa: S606 - no shell is wanted
    if words[:1] == ["--inside"] and len(words) > 1:
        _loopback_up()
        if routes():
            print(f"offline: there are routes in here: {routes()}", file=sys.stderr)
            return 1
        os.environ["VAB_TEST_OFFLINE"] = "1"
        os.execvp(words[1], words[1:])  # noqa: S606
    print(__doc__, file=sys.stderr)
    return _USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
