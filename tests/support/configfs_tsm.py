"""A stand-in for configfs-tsm: a *mounted* file system (FUSE) that behaves as the kernel's does, attribute by attribute.

What it keeps of the kernel (drivers/virt/coco/tsm.c, fs/configfs/file.c): a counter of writes per entry, read as
``generation``; binary attributes are handed over when the file is closed, and an error then is lost; more than 64 bytes of
``inblob`` are refused at write (EFBIG); a report without ``inblob`` is EINVAL, as is one whose length the driver does not
take; ``mkdir`` without a driver is ENXIO; nothing but ``mkdir`` and ``rmdir`` makes or removes names; blobs are made once
per generation and read whole.

What tests tell it goes through ``/control`` (JSON), outside of the interface: ``busy`` (so many EBUSY before a report),
``foreign`` (so many writes of somebody else between two steps of ours), ``provider`` ("" for none), ``auxblob``,
``host_data`` and ``mrconfigid`` (hex), ``quote_version`` (of a TDX quote; 0 for one that is cut),
``lost`` (so many inblobs that the kernel refuses at close), ``stale`` (a report with somebody else's
data, generation untouched).

Run as a program: ``python -m tests.support.configfs_tsm MOUNTPOINT``.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.parts import missing

_INBLOB_MAX = 64
_WRITE_ONLY = ("inblob", "privlevel")
_TEXT = ("generation", "provider", "privlevel_floor")
_BLOBS = ("outblob", "auxblob")
_ATTRIBUTES = (*_WRITE_ONLY, *_TEXT, *_BLOBS)
_REPORT = "/tsm/report"
_START_S = 10.0


def snp_report(report_data: bytes, host_data: bytes, vmpl: int) -> bytes:
    """Make a report that nobody signed: the provider under test reads places, not signatures."""
    report = bytearray(1184)
    report[0:4] = (2).to_bytes(4, "little")
    report[0x30:0x34] = vmpl.to_bytes(4, "little")
    report[0x50:0x90] = report_data
    report[0xC0:0xE0] = host_data
    return bytes(report)


def td_quote(report_data: bytes, mrconfigid: bytes, version: int) -> bytes:
    """Make header and TD report of a quote of version 4 or 5 that nobody signed; 0 for one that ends within its TD report."""
    report = bytearray(584)
    report[184:232] = mrconfigid
    report[520:584] = report_data
    header = (version or 4).to_bytes(2, "little") + b"\x02\x00" + b"\x81\x00\x00\x00" + bytes(40)
    if version == 5:
        header += b"\x02\x00" + len(report).to_bytes(4, "little")
    return header + bytes(report[:500] if version == 0 else report) + bytes(0 if version == 0 else 1000)


@dataclass
class _Entry:
    inblob: bytes = b""
    privlevel: int = 0
    write_generation: int = 0
    read_generation: int = 0
    blobs: dict[str, bytes] = field(default_factory=dict)


@dataclass
class _Handle:
    path: str
    written: bytes | None = None
    content: bytes | None = None


@dataclass
class Control:
    """What the test wants to happen."""

    provider: str = "sev_guest"
    busy: int = 0
    foreign: int = 0
    stale: int = 0
    lost: int = 0
    auxblob: str = ""
    host_data: str = "00" * 32
    mrconfigid: str = "00" * 48
    quote_version: int = 4
    log: list[str] = field(default_factory=list)


def _refuse(number: int) -> OSError:
    import mfusepy

    error: OSError = mfusepy.FuseOSError(number)
    return error


class _Tree:
    """The file system's operations; mfusepy is asked for them by name."""

    use_ns = True

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}
        self.handles: dict[int, _Handle] = {}
        self.control = Control()
        self.lock = threading.RLock()
        self.next = 1

    def _split(self, path: str) -> tuple[_Entry, str]:
        parts = path.removeprefix(_REPORT + "/").split("/")
        if not path.startswith(_REPORT + "/") or parts[0] not in self.entries or len(parts) > 2:
            raise _refuse(errno.ENOENT)
        return self.entries[parts[0]], parts[1] if len(parts) > 1 else ""

    def getattr(self, path: str, _fh: int | None = None) -> dict[str, Any]:
        with self.lock:
            if path in ("/", "/tsm", _REPORT):
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if path == "/control":
                return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": 0}
            _, name = self._split(path)
            if not name:
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if name not in _ATTRIBUTES:
                raise _refuse(errno.ENOENT)
            mode = 0o200 if name in _WRITE_ONLY else 0o400
            # configfs says 4096 for text and 0 for binary attributes; neither is the content's size.
            return {"st_mode": stat.S_IFREG | mode, "st_nlink": 1, "st_size": 0 if name in _BLOBS else 4096}

    def readdir(self, path: str, _fh: int) -> list[str]:
        with self.lock:
            dots = [".", ".."]
            if path == "/":
                return [*dots, "tsm", "control"]
            if path == "/tsm":
                return [*dots, "report"]
            return [*dots, *(self.entries if path == _REPORT else _ATTRIBUTES)]

    def mkdir(self, path: str, _mode: int) -> int:
        with self.lock:
            parent, _, name = path.rpartition("/")
            if parent != _REPORT:
                raise _refuse(errno.EPERM)
            if not self.control.provider:
                raise _refuse(errno.ENXIO)
            if name in self.entries:
                raise _refuse(errno.EEXIST)
            self.entries[name] = _Entry()
            return 0

    def rmdir(self, path: str) -> int:
        with self.lock:
            parent, _, name = path.rpartition("/")
            if parent != _REPORT or name not in self.entries:
                raise _refuse(errno.EPERM)
            del self.entries[name]
            return 0

    def open(self, path: str, flags: int) -> int:
        with self.lock:
            if path != "/control":
                _, name = self._split(path)
                writes = flags & os.O_ACCMODE != os.O_RDONLY
                if writes != (name in _WRITE_ONLY):
                    raise _refuse(errno.EACCES)
            self.next += 1
            self.handles[self.next] = _Handle(path)
            return self.next

    def create(self, _path: str, _mode: int, _fi: Any = None) -> int:
        raise _refuse(errno.EACCES)

    def truncate(self, _path: str, _length: int, _fh: int | None = None) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self.lock:
            handle = self.handles[fh]
            if handle.content is None:
                handle.content = self._content(path)
            return handle.content[offset : offset + size]

    def _content(self, path: str) -> bytes:
        if path == "/control":
            return json.dumps({"entries": sorted(self.entries), "log": self.control.log}).encode()
        entry, name = self._split(path)
        if name == "generation":
            return b"%d\n" % entry.write_generation
        if name == "provider":
            return f"{self.control.provider}\n".encode()
        if name == "privlevel_floor":
            return b"0\n"
        return self._blob(entry, name)

    def _blob(self, entry: _Entry, name: str) -> bytes:
        control = self.control
        if not entry.inblob:
            raise _refuse(errno.EINVAL)
        if not entry.blobs or entry.read_generation != entry.write_generation:
            if control.busy:
                control.busy -= 1
                raise _refuse(errno.EBUSY)
            if len(entry.inblob) != _INBLOB_MAX:
                raise _refuse(errno.EINVAL)  # both drivers take exactly 64 bytes
            data = entry.inblob
            if control.stale:
                control.stale -= 1
                data = bytes(64)
            if control.provider == "tdx_guest":
                report = td_quote(data, bytes.fromhex(control.mrconfigid), control.quote_version)
            else:
                report = snp_report(data, bytes.fromhex(control.host_data), entry.privlevel)
            entry.blobs = {"outblob": report, "auxblob": bytes.fromhex(control.auxblob)}
            entry.read_generation = entry.write_generation
        blob = entry.blobs[name]
        if control.foreign and name == "outblob":
            # Somebody else writes between our read of the blob and our look at the generation.
            control.foreign -= 1
            entry.inblob, entry.write_generation = bytes([7]) * 64, entry.write_generation + 1
        return blob

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self.lock:
            handle = self.handles[fh]
            if path == "/control":
                handle.written = (handle.written or b"") + data
                return len(data)
            _, name = self._split(path)
            if name == "inblob" and offset + len(data) > _INBLOB_MAX:
                raise _refuse(errno.EFBIG)
            if name == "privlevel":
                return self._set_privlevel(path, data)
            handle.written = ((handle.written or b"")[:offset]).ljust(offset, b"\x00") + data
            return len(data)

    def _set_privlevel(self, path: str, data: bytes) -> int:
        entry, _ = self._split(path)
        level = int(data)
        if not 0 <= level <= 3:
            raise _refuse(errno.EINVAL)
        entry.privlevel, entry.write_generation = level, entry.write_generation + 1
        return len(data)

    def flush(self, path: str, fh: int) -> int:
        """Closing hands a binary attribute over; as in the kernel, its result is not the caller's to see."""
        with self.lock:
            handle = self.handles.get(fh)
            if handle is None or handle.written is None:
                return 0
            written, handle.written = handle.written, None
            if path == "/control":
                for name, value in json.loads(written).items():
                    setattr(self.control, name, value)
                return 0
            entry, _ = self._split(path)
            if self.control.lost:
                self.control.lost -= 1
                return 0
            entry.inblob, entry.write_generation = written, entry.write_generation + 1
            self.control.log.append(written.hex())
            return 0

    def release(self, _path: str, fh: int) -> int:
        with self.lock:
            self.handles.pop(fh, None)
            return 0


def _serve(mountpoint: str) -> None:
    import mfusepy

    class Operations(_Tree, mfusepy.Operations):  # type: ignore[misc]
        """The tree, as mfusepy wants it."""

    mfusepy.FUSE(
        Operations(), mountpoint, foreground=True, nothreads=True, direct_io=True, attr_timeout=0, entry_timeout=0
    )


@dataclass(frozen=True)
class StandIn:
    """A mounted stand-in."""

    root: Path

    @property
    def report(self) -> Path:
        """What /sys/kernel/config/tsm/report is on a real machine."""
        return self.root / "tsm" / "report"

    def tell(self, **wishes: Any) -> None:
        """Say what is to happen."""
        (self.root / "control").write_text(json.dumps(wishes))

    def state(self) -> dict[str, Any]:
        """Return the entries that exist and every inblob that was handed over."""
        state: dict[str, Any] = json.loads((self.root / "control").read_text())
        return state


def require_fuse() -> None:
    """Skip, or fail where parts are required, when FUSE cannot be had."""
    if not Path("/dev/fuse").exists() or shutil.which("fusermount3") is None:
        missing("no /dev/fuse or fusermount3: apt-get install fuse3")
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError):
        missing("mfusepy or libfuse is not installed: uv sync --all-groups; apt-get install libfuse3-3")


@contextlib.contextmanager
def mounted(mountpoint: Path) -> Iterator[StandIn]:
    """Mount the stand-in; unmount it at the end."""
    mountpoint.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "tests.support.configfs_tsm", str(mountpoint)]
    # A file and no pipe: mfusepy tells of every refusal, and a full pipe would stop the file system, and us in it, for good.
    said = mountpoint.with_name(f"{mountpoint.name}.log")
    with said.open("wb") as log:
        process = subprocess.Popen(command, cwd=root, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_S
        while not (mountpoint / "tsm").is_dir():
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the stand-in did not mount: {said.read_text()}")
            time.sleep(0.02)
        yield StandIn(mountpoint)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mountpoint)], check=False, capture_output=True)
        # KILL: a file system that hangs hears nothing else, and whoever waits for it gets an error at once.
        process.kill()
        process.wait(10)


if __name__ == "__main__":
    _serve(sys.argv[1])
