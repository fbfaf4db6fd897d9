"""The wall clock of chosen processes, moved: a shim before the C library (LD_PRELOAD) adds what a file says to every reading.

Steady clocks stay as they are, as they do when somebody sets a machine's clock. SQLite's clock moves too, PostgreSQL's server's not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.parts import missing

_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset_s(void) {
    char text[32];
    const char *path = getenv("MOVED_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    ssize_t got = read(file, text, sizeof text - 1);
    close(file);
    if (got <= 0) return 0;
    text[got] = 0;
    return strtol(text, 0, 10);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int status = syscall(SYS_clock_gettime, which, now);
    if (!status && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += offset_s();
    return status;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec got;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &got)) return -1;
    now->tv_sec = got.tv_sec;
    now->tv_usec = got.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec got;
    if (clock_gettime(CLOCK_REALTIME, &got)) return -1;
    if (now) *now = got.tv_sec;
    return got.tv_sec;
}
"""


@dataclass(frozen=True)
class MovedWallClock:
    """The environment of processes whose clock is to be moved, and the file that moves it."""

    library: Path
    file: Path

    @property
    def env(self) -> dict[str, str]:
        """Variables for those processes."""
        return {"LD_PRELOAD": str(self.library), "MOVED_CLOCK_FILE": str(self.file)}

    def move(self, seconds: int) -> None:
        """Set the clock so many seconds ahead of the right time, or behind it; 0 sets it right."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(str(seconds), encoding="ascii")
        fresh.replace(self.file)


def moved_wall_clock(folder: Path) -> MovedWallClock:
    """Compile the shim; skips, or fails where parts are required, without a C compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        missing("a C compiler is not installed: apt-get install gcc")
    source, library = folder / "moved_clock.c", folder / "moved_clock.so"
    source.write_text(_SOURCE, encoding="ascii")
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)],
        check=True,
        env={**os.environ, "LC_ALL": "C"},
        timeout=60,
    )
    made = MovedWallClock(library, folder / "moved_clock.offset")
    made.move(0)
    return made
