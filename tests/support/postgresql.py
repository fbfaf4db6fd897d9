"""A real PostgreSQL server for tests, started by the test run itself from Debian's package, reachable by a socket only."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.support.parts import missing

_PACKAGED = Path("/usr/lib/postgresql")
_START_S = 60


def _programs() -> Path:
    found = sorted(_PACKAGED.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if on_path is None or shutil.which("pg_ctl") is None:
        missing("PostgreSQL is not installed: apt-get install postgresql")
    return Path(on_path).resolve().parent


@dataclass
class PostgresServer:
    """A server in a folder of its own; ``new_database`` gives a URL of an empty database."""

    programs: Path
    folder: Path
    user: str
    _names: Iterator[int] = field(default_factory=count)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as its user."""
        # PostgreSQL refuses to run as root.
        user = self.user if os.geteuid() == 0 else None
        subprocess.run(
            [self.programs / program, *arguments],
            check=True,
            user=user,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_START_S,
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c max_connections=200"
        log = str(self.folder / "log")
        self.run("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", log, "-o", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop the server; ``immediate`` is a crash."""
        self.run("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.folder / "data"))

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._names)}"
        self.run("createdb", "-h", str(self.folder), "-U", self.user, name)
        return f"postgresql://{self.user}@/{name}?host={self.folder}"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server for the time of the block; skips, or fails where parts are required, when there is none."""
    programs = _programs()
    # In memory where there is such a place: making databases is mostly waiting for the disk. No test here cuts the power.
    in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="vab-pg-", dir=in_memory))
    user = "postgres" if os.geteuid() == 0 else os.environ.get("USER", "postgres")
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    server = PostgresServer(programs, folder, user)
    try:
        server.run(
            "initdb", "-D", str(folder / "data"), "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"
        )
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
