"""HTTPS to one server under one CA: the only way this program talks to a network.

The standard library's client and not ``requests``: it takes the CA from memory (no file that could be swapped), knows no
environment (REQUESTS_CA_BUNDLE, HTTPS_PROXY, .netrc), follows no redirect, adds no bundle of its own, and costs 25 ms of
import in place of 150. What is checked: the chain to the given CA, the host name, TLS 1.2 or newer. Nothing is retried
here: the flow knows what may be.
"""

from __future__ import annotations

import http.client
import json
import math
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from attester.ids import AttesterId
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected, MalformedEvidence

MAX_ANSWER = 4 * 1024 * 1024
TIMEOUT_S = 30.0  # for a whole call, however many pieces its answer comes in
_LEAST_S = 1.0  # what a call has at the end of the bound


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers (lower case names) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self, check_id: str) -> dict[str, Any]:
        """Read the body as a JSON object; anything else is ``MalformedEvidence(check_id)``, without showing it."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise MalformedEvidence(check_id, f"answer with status {self.status}: not a JSON object")
        return value


class _Bounded(ssl.SSLSocket):
    """A socket whose reads have one deadline together: a server that sends a byte now and then holds nobody."""

    ends_at = math.inf

    def recv_into(self, *args: Any, **named: Any) -> int:
        left = self.ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError(0, "timed out")
        self.settimeout(None if math.isinf(left) else left)
        return super().recv_into(*args, **named)


def tls_context(ca_pem: str, where: str) -> ssl.SSLContext:
    """Trust exactly the given certificates, and check host names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Bounded
    try:
        context.load_verify_locations(cadata=ca_pem)
    except (ssl.SSLError, ValueError, TypeError):
        raise ConfigError(where, "ca", "unreadable", "one or more certificates in PEM") from None
    if not context.get_ca_certs():
        raise ConfigError(where, "ca", "no CA certificate", "one or more CA certificates in PEM")
    return context


class Client:
    """A client of one base URL; ``name`` (verifier, vault) stands in the check ids ``attester.<name>.…`` and in messages.

    ``left`` says how many seconds are left of the command's bound: no call takes much longer than that.
    """

    def __init__(
        self,
        base_url: str,
        ca_pem: str,
        *,
        name: Literal["verifier", "vault"],
        left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        url = urlsplit(base_url)
        try:
            port = url.port or 443
        except ValueError:
            port = 0
        plain = not (url.username or url.password or url.query or url.fragment)
        if url.scheme != "https" or not url.hostname or not port or not plain:
            raise ConfigError(name, "url", base_url, "https://host[:port][/path]")
        self._base = url.path.rstrip("/")
        self._host = url.hostname
        self._port = port
        self._context = tls_context(ca_pem, name)
        self._name = name
        self._left = left

    def _id(self, what: str) -> AttesterId:
        return AttesterId(f"attester.{self._name}.{what}")

    def call(
        self, method: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request on a connection of its own; what keeps the server from answering is ``CannotDecide``.

        A certificate that the CA did not sign, or for another host, is ``EvidenceRejected('attester.<name>.untrusted')``.
        """
        timeout = max(_LEAST_S, min(TIMEOUT_S, self._left()))
        ends_at = time.monotonic() + timeout
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)
        try:
            connection.connect()
            if isinstance(connection.sock, _Bounded):  # always: `tls_context` says so
                connection.sock.ends_at = ends_at
            connection.request(method, self._base + path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read(MAX_ANSWER + 1)
        except ssl.SSLCertVerificationError as error:
            reason = f"{self._name} at {self._host}:{self._port}: certificate not trusted: {error.verify_message}"
            raise EvidenceRejected(self._id("untrusted"), reason) from None
        except (OSError, http.client.HTTPException) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            where = f"{self._name} at {self._host}:{self._port}: {reason}"
            raise CannotDecide(self._id("unreachable"), where, retry_after=0) from None
        finally:
            connection.close()
        if answer.length and len(content) <= MAX_ANSWER:
            # `read(n)` is content with less than was announced; an answer that was cut off is none.
            where = (
                f"{self._name} at {self._host}:{self._port}: answer: {answer.length} bytes short of what was announced"
            )
            raise CannotDecide(self._id("unreachable"), where, retry_after=0)
        if len(content) > MAX_ANSWER:
            detail = f"{self._name}: answer: got more than {MAX_ANSWER} bytes, want at most that"
            raise MalformedEvidence(self._id("answer"), detail)
        return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, content)

    def post_json(self, path: str, value: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Reply:
        """POST a JSON object."""
        return self.send_json("POST", path, value, headers=headers)

    def send_json(
        self, method: str, path: str, value: Mapping[str, Any], *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a JSON object."""
        head = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
        return self.call(method, path, body=json.dumps(dict(value)).encode(), headers=head)
