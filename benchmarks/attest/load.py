"""The load: eight clients on keep-alive connections, in a process of its own on another core.

Reads a JSON file of prepared bodies, sends each once, prints seconds, how many were answered with 200, and the answers. Plain
sockets and fixed bytes: a client that thinks would be measured too.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from pathlib import Path

_HEAD_END = b"\r\n\r\n"
_Answer = tuple[int, bytes]  # status, body


def _read_answer(stream: socket.socket, left: bytes) -> tuple[int, bytes, bytes]:
    """Read one HTTP answer; returns its status, its body, and what came after it."""
    data = left
    while _HEAD_END not in data:
        chunk = stream.recv(65_536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        data += chunk
    head, _, body = data.partition(_HEAD_END)
    lower = head.lower()
    at = lower.index(b"content-length:") + len(b"content-length:")
    length = int(lower[at:].split(b"\r\n", 1)[0])
    while len(body) < length:
        body += stream.recv(65_536)
    return int(head[9:12]), body[:length], body[length:]


def _client(port: int, path: bytes, media_type: bytes, bodies: list[bytes], answers: list[_Answer]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        left = b""
        for body in bodies:
            head = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (
                path, media_type, len(body),
            )  # fmt: skip
            stream.sendall(head + body)
            status, answer, left = _read_answer(stream, left)
            answers.append((status, answer))


def run(port: int, path: str, media_type: str, bodies: list[bytes], clients: int) -> tuple[float, list[_Answer]]:
    """Send all bodies over ``clients`` connections; returns seconds and every answer, in no order."""
    answers: list[list[_Answer]] = [[] for _ in range(clients)]
    threads = [
        threading.Thread(
            target=_client, args=(port, path.encode(), media_type.encode(), bodies[i::clients], answers[i])
        )
        for i in range(clients)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start, [answer for each in answers for answer in each]


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    seconds, answered = run(
        job["port"], job["path"], job["media_type"], [text.encode() for text in job["bodies"]], job["clients"]
    )
    accepted = [body.decode() for status, body in answered if status == 200]  # noqa: PLR2004 - HTTP OK
    print(json.dumps({"seconds": seconds, "good": len(accepted), "answers": accepted}))
