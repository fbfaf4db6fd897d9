"""Memory-backed files: where tokens and secrets may stand. Nothing here ever writes to a disk, and no switch allows it.

A folder is taken by its file descriptor, and that descriptor decides: its file system must be tmpfs or ramfs, and no user
else may move names in it. Files are made 0600 under a random name (O_EXCL, O_NOFOLLOW) and renamed into place, so that a
reader sees the old file or the new one, and a link planted at the target is replaced and not followed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from attester.ids import AttesterId
from verifier.formats.errors import CannotDecide, ConfigError

MEMORY_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})
FOLDER_NAME = "vault-attestation-bridge"
_MOUNTINFO = "/proc/self/mountinfo"


def _file_system(fd: int) -> str:
    """Return the type of the file system that an open folder lives on, by its device number; "" when unknown.

    /proc/self/mountinfo (Linux proc_pid_mountinfo(5)): field 3 is major:minor, the type stands after the lone hyphen.
    """
    device = os.fstat(fd).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path(_MOUNTINFO).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:  # without /proc nobody can tell
        lines = []
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields = head.split()
        if len(fields) > 2 and fields[2] == wanted:  # noqa: PLR2004 - the third field
            return tail.split()[0]
    return ""


@contextlib.contextmanager
def _open_folder(folder: Path) -> Iterator[int]:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(str(folder), "folder", error.strerror, "a folder that exists") from None
    try:
        yield fd
    finally:
        os.close(fd)


def _require_memory(fd: int, folder: Path) -> None:
    """Refuse a folder on a disk, or one where another user could swap names under us."""
    kind = _file_system(fd)
    if kind not in MEMORY_FILE_SYSTEMS:
        want = "tmpfs or ramfs: secrets are never written to a disk (mount -t tmpfs, or choose a folder in /dev/shm)"
        raise ConfigError(str(folder), "file system", kind or "unknown", want)
    mode = os.fstat(fd)
    shared = mode.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if shared and not mode.st_mode & stat.S_ISVTX:
        raise ConfigError(
            str(folder), "mode", oct(stat.S_IMODE(mode.st_mode)), "writable by its owner alone, or sticky"
        )
    if mode.st_uid not in (0, os.geteuid()):
        raise ConfigError(str(folder), "owner", mode.st_uid, f"{os.geteuid()} or 0")


def require_memory_folder(folder: Path) -> None:
    """Refuse a folder that is not memory-backed, before anything secret is asked for."""
    with _open_folder(folder) as fd:
        _require_memory(fd, folder)


def default_folder(environ: Mapping[str, str]) -> Path:
    """Return (and make) a folder of our own, 0700, on the first memory-backed place: /run, XDG_RUNTIME_DIR, /dev/shm."""
    places = [Path("/run"), *([Path(environ["XDG_RUNTIME_DIR"])] if environ.get("XDG_RUNTIME_DIR") else [])]
    candidates = [place / FOLDER_NAME for place in places]
    candidates.append(Path("/dev/shm") / f"{FOLDER_NAME}-{os.geteuid()}")  # noqa: S108 - the folder is made 0700 and checked
    for candidate in candidates:
        if _try_make(candidate):
            return candidate
    tried = ", ".join(str(candidate) for candidate in candidates)
    raise ConfigError("memory folder", "--out", None, f"a file on tmpfs or ramfs; tried {tried}")


def _try_make(candidate: Path) -> bool:
    try:
        with _open_folder(candidate.parent) as parent:
            if _file_system(parent) not in MEMORY_FILE_SYSTEMS and not candidate.is_dir():
                return False
            with contextlib.suppress(FileExistsError):
                os.mkdir(candidate.name, 0o700, dir_fd=parent)
        # All users share /dev/shm: a link or a folder of another user under our name is refused, not used.
        found = candidate.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return False
        require_memory_folder(candidate)
    except (ConfigError, OSError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class MemoryFile:
    """A file that was written here; ``remove`` takes it away again if it is still ours (same inode)."""

    path: Path
    device: int
    inode: int

    def remove(self) -> None:
        """Remove the file unless somebody else's stands there by now."""
        with contextlib.suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == (self.device, self.inode):
                self.path.unlink()


def write(path: Path, content: bytes, *, replace: bool = True) -> MemoryFile:
    """Write a memory-backed file, 0600, atomically. With ``replace=False`` an existing name is refused.

    Raises ``ConfigError`` for a folder that is no place for secrets, and ``CannotDecide('attester.output.write')`` where the
    folder is full or cannot be written for another reason. An interrupt or an error leaves nothing behind.
    """
    with unwritten(str(path)):
        return _write(path, content, replace=replace)


@contextlib.contextmanager
def unwritten(where: str) -> Iterator[None]:
    """Turn what the system says of a write inside into a no."""
    try:
        yield
    except OSError as error:
        detail = f"{where}: not written: {error.strerror or type(error).__name__}"
        raise CannotDecide(AttesterId.OUTPUT_WRITE, detail) from None


def _write(path: Path, content: bytes, *, replace: bool) -> MemoryFile:
    if path.name in ("", ".", ".."):
        raise ConfigError(str(path), "path", path.name, "a file name")
    with _open_folder(path.parent) as folder:
        _require_memory(folder, path.parent)
        temporary = f".{path.name[:64]}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(fd, "wb", buffering=0):
                os.fchmod(fd, 0o600)  # the umask may have taken even the owner's bits
                _write_all(fd, content)
                made = os.fstat(fd)
            _put_in_place(temporary, path, folder, replace=replace)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
            raise
    return MemoryFile(path, made.st_dev, made.st_ino)


def _write_all(fd: int, content: bytes) -> None:
    """Write to the end: a full file system takes a part first, and says so at the next write."""
    left = memoryview(content)
    while left:
        left = left[os.write(fd, left) :]


def _put_in_place(temporary: str, path: Path, folder: int, *, replace: bool) -> None:
    if replace:
        try:
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError:
            raise ConfigError(str(path), "path", "a folder", "a file") from None
        return
    try:
        # link, unlike rename, refuses a name that is taken.
        os.link(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise ConfigError(str(path), "path", "exists", "a new name: the file is removed afterwards") from None
    os.unlink(temporary, dir_fd=folder)
