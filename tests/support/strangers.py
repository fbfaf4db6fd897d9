"""Strangers that connect and then say nothing more: without a hello, after the handshake, in a header, in a body."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

_HEAD = b"POST /v1/attestations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/jose\r\n"
# What each says before it falls silent; ``None``: not even a hello.
KINDS: dict[str, bytes | None] = {
    "no hello": None,
    "no request": b"",
    "half a header": _HEAD,
    "half a body": _HEAD + b"Content-Length: 4000\r\n\r\n" + b"x" * 1000,
}
_CONNECT_S = 3.0


def _stranger(port: int, said: bytes | None) -> socket.socket | None:
    raw = socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S)
    if said is None:
        return raw
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        stream = context.wrap_socket(raw)
        stream.sendall(said)
    except OSError:
        return None  # the server has no time for a handshake
    return stream


def _is_open(stranger: socket.socket) -> bool:
    try:
        stranger.setblocking(False)  # noqa: FBT003 - the socket's own word
        return bool(stranger.recv(1))
    except (ssl.SSLWantReadError, BlockingIOError):
        return True
    except OSError:
        return False


@contextmanager
def held(port: int, count: int) -> Iterator[Callable[[], int]]:
    """Hold ``count`` silent connections, as many of each kind, until the block ends; gives what counts those still open."""
    with ExitStack() as stack:
        kinds = list(KINDS.values())
        silent: list[socket.socket] = []
        for number in range(count):
            stranger = _stranger(port, kinds[number % len(kinds)])
            if stranger is None:
                # A server that is stopped already shakes no more hands: the rest is held without a hello.
                kinds = [None]
                stranger = _stranger(port, None)
            if stranger is not None:
                silent.append(stack.enter_context(stranger))
        yield lambda: sum(_is_open(stranger) for stranger in silent)
