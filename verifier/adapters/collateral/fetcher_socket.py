"""How request workers tell the fetcher what they miss: one line of JSON each way over a Unix socket in the cache folder.

Nothing is stored for a caller that is not verified yet. The queue is the fetcher's memory: one owner keeps all bounds, whatever
number of workers ask, and a crash loses nothing that an attester's next try does not ask for again.
Request: ``{tenant, source, anew, items: [[kind, key]…]}``; answer: ``[[check_id, detail, retry_after, known]…]`` in that order.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from verifier.adapters.collateral.cache import make_folder
from verifier.adapters.collateral.fetch_queue import Reply
from verifier.adapters.collateral.items import Item, item
from verifier.core.ids import ServiceId
from verifier.formats.errors import CannotDecide

SOCKET: Final = "fetcher.sock"
_TIMEOUT_S: Final = 1.0
_PEER_S: Final = 0.5
_MAX_LINE: Final = 16 * 1024
_MAX_ITEMS: Final = 32
_BACKLOG: Final = 256

Answerer = Callable[[str, str, Sequence[Item], bool], Sequence[Reply]]


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Name the socket by its folder's descriptor: a path of a socket has 107 bytes, that of a folder may be longer."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET}"
    finally:
        os.close(handle)


class FetcherClient:
    """The request worker's side. ``retry_after``: when to come again while no fetcher answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def ask(self, tenant: str, source: str, wanted: Sequence[Item], *, anew: bool = False) -> Sequence[Reply]:
        """Ask for items; one reply each, at once. ``anew``: what is kept will not do (it is below its mark, or grows old).

        ``CannotDecide('service.collateral.fetcher')`` where no answer comes within a second.
        """
        form = {"tenant": tenant, "source": source, "anew": anew, "items": [[one.kind, one.key] for one in wanted]}
        try:
            with (
                _short(self._folder) as path,
                socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer,
            ):
                peer.settimeout(_TIMEOUT_S)
                peer.connect(path)
                peer.sendall(json.dumps(form).encode("ascii") + b"\n")
                listed = json.loads(_line(peer))
            replies = [Reply(str(a), str(b), int(c), bool(d)) for a, b, c, d in listed]
        except (OSError, ValueError, TypeError, RecursionError) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise CannotDecide(ServiceId.FETCHER, f"the fetcher does not answer: {what}", retry_after=5) from None
        if len(replies) != len(wanted):
            raise CannotDecide(
                ServiceId.FETCHER,
                f"the fetcher: got {len(replies)} replies, want {len(wanted)}",
                retry_after=5,
            )
        return replies


def _line(peer: socket.socket) -> bytes:
    data = b""
    while not data.endswith(b"\n"):
        chunk = peer.recv(4096)
        if not chunk or len(data) + len(chunk) > _MAX_LINE:
            raise ValueError("no whole line")
        data += chunk
    return data


class FetcherServer:
    """The fetcher's side: takes one caller after another, in a thread of its own, until ``stop`` is set."""

    def __init__(self, folder: Path, answer: Answerer, stop: threading.Event) -> None:
        self._answer = answer
        self._stop = stop
        make_folder(folder)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.suppress(FileNotFoundError):
            (folder / SOCKET).unlink()  # of a fetcher that died; the folder's lock says that none is alive
        with _short(folder) as path:
            self._socket.bind(path)
        (folder / SOCKET).chmod(0o600)
        self._socket.listen(_BACKLOG)
        self._socket.settimeout(0.2)

    def run(self) -> None:
        """Answer until told to stop."""
        with self._socket:
            while not self._stop.is_set():
                try:
                    peer, _address = self._socket.accept()
                except TimeoutError:
                    continue
                with peer:
                    peer.settimeout(_PEER_S)
                    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
                        peer.sendall(self._reply(_line(peer)))

    def _reply(self, line: bytes) -> bytes:
        form = json.loads(line)
        wanted = [item(kind, key) for kind, key in form["items"][:_MAX_ITEMS]]
        known = [one for one in wanted if one is not None]
        if len(known) != len(form["items"]):
            raise ValueError("no items")
        replies = self._answer(str(form["tenant"]), str(form["source"]), known, form["anew"] is True)
        return json.dumps([[r.check_id, r.detail, r.retry_after, r.known] for r in replies]).encode("ascii") + b"\n"
