"""One HTTPS call, a GET or a POST: every bound that a fetch has. The only place that talks to a vendor.

Bounds: connect and read timeouts, one deadline for the whole call (the socket is shut at it, whatever drips), a size cap, no
redirects, nothing taken from the environment (REQUESTS_CA_BUNDLE, proxies, .netrc: ``trust_env`` is off). The CAs are certifi's, or
the one file that the settings name.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import http.client
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection

from verifier.adapters.collateral.documents import MAX_DOCUMENT
from verifier.adapters.vendors.kind import NO_HEADERS, Absent, Answer, CallFailed

CONNECT_S: Final = 5.0
READ_S: Final = 10.0
TOTAL_S: Final = 20.0
_CHUNK: Final = 65_536
_USER_AGENT: Final = "vault-attestation-bridge"
_ABSENT: Final = frozenset({400, 404, 410})
_BUSY: Final = frozenset({429, 503})
_OK: Final = 200
_SERVER_ERROR: Final = 500


class Throttled(Exception):
    """The vendor asks for patience: seconds, ``None`` where it does not say how long."""

    def __init__(self, status: int, retry_after: float | None) -> None:
        super().__init__(f"status {status}")
        self.retry_after = retry_after


class _Connection(HTTPSConnection):
    """Says which socket it opened, so that the deadline can shut it."""

    opened: Callable[[socket.socket], None] = staticmethod(lambda _socket: None)

    def connect(self) -> None:
        super().connect()
        type(self).opened(self.sock)


class Client:
    """Makes calls, each on a connection of its own. ``ca_file`` "" for certifi's; ``headers`` go with every call."""

    def __init__(
        self,
        ca_file: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        total_s: float = TOTAL_S,
        read_s: float = READ_S,
    ) -> None:
        self._ca_file = ca_file
        self._headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        self._total_s = total_s
        self._read_s = read_s

    def get(self, url: str, request: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """GET, or POST a request; ``Absent``, ``Throttled`` or ``CallFailed`` for anything but a whole answer of status 200."""
        try:
            with (
                self._deadline() as session,
                session.request(
                    "POST" if request else "GET",
                    url,
                    data=request or None,
                    headers=headers,
                    timeout=(CONNECT_S, self._read_s),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                return Answer(self._body(response), {k.lower(): v for k, v in response.headers.items()})
        except requests.exceptions.SSLError as error:
            raise CallFailed("untrusted", type(error).__name__, passing=False) from None
        except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise CallFailed("timeout", type(error).__name__, passing=True) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise CallFailed("unreachable", type(error).__name__, passing=True) from None

    def _body(self, response: requests.Response) -> bytes:
        status = response.status_code
        if status in _BUSY:
            raise Throttled(status, retry_after(response.headers.get("Retry-After", "")))
        if status in _ABSENT:
            raise Absent(f"status {status}")
        if status != _OK:
            raise CallFailed(f"status-{status // 100}xx", f"status {status}", passing=status >= _SERVER_ERROR)
        announced = response.headers.get("Content-Length", "")
        if announced.isdecimal() and int(announced) > MAX_DOCUMENT:
            raise CallFailed("size", f"{announced} bytes announced", passing=False)
        chunks, size = [], 0
        for chunk in _chunks(response):
            size += len(chunk)
            if size > MAX_DOCUMENT:
                raise CallFailed("size", f"more than {MAX_DOCUMENT} bytes", passing=False)
            chunks.append(chunk)
        if announced.isdecimal() and size != int(announced):
            raise CallFailed("truncated", f"{size} of {announced} bytes", passing=True)
        return b"".join(chunks)

    @contextmanager
    def _deadline(self) -> Iterator[requests.Session]:
        """Lend a session whose socket is shut when the time is up, wherever the call is waiting then."""
        sockets: list[socket.socket] = []
        late = threading.Event()

        def shut() -> None:
            late.set()
            for one in sockets:
                _shut(one)

        def opened(one: socket.socket) -> None:
            sockets.append(one)
            if late.is_set():
                _shut(one)

        timer = threading.Timer(self._total_s, shut)
        timer.daemon = True
        with requests.Session() as session:
            session.trust_env = False
            session.verify = self._ca_file or True
            session.headers.clear()
            session.headers.update(self._headers)
            session.mount("https://", _adapter(opened))
            timer.start()
            try:
                yield session
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, CallFailed):
                if late.is_set():
                    raise CallFailed("timeout", f"over {self._total_s:g} s", passing=True) from None
                raise
            finally:
                timer.cancel()


def _chunks(response: requests.Response) -> Iterator[bytes]:
    """Yield what comes as it comes: ``read`` would wait for a whole chunk, however slowly it drips."""
    try:
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            yield chunk
    except urllib3.exceptions.ProtocolError as error:
        if any(isinstance(one, http.client.IncompleteRead) for one in (error, *error.args)):
            raise CallFailed("truncated", "the answer breaks off", passing=True) from None
        raise


def _adapter(opened: Callable[[socket.socket], None]) -> HTTPAdapter:
    connection = type("Connection", (_Connection,), {"opened": staticmethod(opened)})
    pool: Any = type("Pool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": connection})
    adapter = HTTPAdapter(max_retries=0, pool_connections=1, pool_maxsize=1)
    adapter.poolmanager.pool_classes_by_scheme = {"https": pool}
    return adapter


def _shut(one: socket.socket) -> None:
    try:
        # The plain socket's way: a TLS one would first say goodbye to a peer that does not listen.
        socket.socket.shutdown(one, socket.SHUT_RDWR)
    except OSError:
        return


def retry_after(value: str, now: dt.datetime | None = None) -> float | None:
    """Read a Retry-After header: seconds or an HTTP date (RFC 9110 section 10.2.3); ``None`` for neither."""
    text = value.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return max(0.0, (moment - (now or dt.datetime.now(tz=dt.UTC))).total_seconds())
