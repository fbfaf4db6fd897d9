"""Requests that a stranger could send, by kind: each is refused, and each was made to be as dear as its sender can make it.

All of them are against this product's own bounds (docs/api.md). None was made against a library.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from attester.flow import bind, request_body
from attester.keys import RequestKeys, sign_request
from attester.settings import Trust
from forge.bootlog import measured_boot
from forge.tpm2 import make_tpm
from verifier.core.envelope import Envelope
from verifier.core.settings import MAX_LOG_BYTES, MAX_REQUEST_BYTES
from verifier.formats.encoding import b64url
from verifier.tee.tcg.layout import EV_IPL

JSON, JOSE = "application/json", "application/jose"
ATTEST = "/v1/attestations"
Nonces = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One request: where it goes, and what it is."""

    path: str
    media_type: str
    body: bytes
    method: str = "POST"


Kind = Callable[[Trust, Nonces], Hostile]


def _claims(trust: Trust, nonce: bytes, **changes: Any) -> dict[str, Any]:
    keys = RequestKeys.fresh()
    return {
        "tenant": trust.tenant, "workload": trust.workload, "audience": trust.audience, "nonce": b64url(nonce),
        "keys": keys.public(), "user_data": "", "evidence": Envelope("sev-snp", {"report": b"x" * 1184}).as_json(),
        **changes,
    }  # fmt: skip


def _signed(claims: dict[str, Any]) -> Hostile:
    return Hostile(ATTEST, JOSE, sign_request(claims, RequestKeys.fresh().sig))


def _payload(text: bytes) -> Hostile:
    """A JWS of the right header whose payload is this text; nothing signed it."""
    head = b64url(json.dumps({"alg": "ES256", "typ": "vab-request+jws"}, separators=(",", ":")).encode())
    return Hostile(ATTEST, JOSE, f"{head}.{b64url(text)}.{b64url(bytes(64))}".encode())


_ROOM = MAX_REQUEST_BYTES * 3 // 4 - 1024  # of a payload, before base64


def _filled(begin: bytes, item: bytes, end: bytes, size: int = _ROOM) -> bytes:
    return begin + item * ((size - len(begin) - len(end)) // len(item)) + end


def _tpm(trust: Trust, nonce: bytes, log: bytes) -> Hostile:
    """A quote of a TPM that no tenant enrolled, with a log of this size."""
    keys = RequestKeys.fresh()
    tpm = make_tpm(label="stranger").booted(measured_boot())
    parts = {**tpm.parts(bind(trust, keys, nonce).short, range(24)), "eventlog": log}
    return Hostile(ATTEST, JOSE, request_body(trust, keys, nonce, Envelope("tpm2", parts)))


def _long_log() -> bytes:
    """A crypto-agile log of as many small events as fit."""
    log = measured_boot()
    event = log.add(14, EV_IPL, b"x").events[-1]
    return log.to_bytes() + event * ((MAX_LOG_BYTES - len(log.to_bytes())) // len(event))


def _pems(count: int) -> bytes:
    block = base64.encodebytes(os.urandom(300)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{block}-----END CERTIFICATE-----\n".encode() * count


def kinds() -> Iterator[tuple[str, Kind]]:
    """Return every kind by name."""
    yield "challenge: 4 MiB", lambda _t, _n: Hostile("/v1/challenges", JSON, bytes(MAX_REQUEST_BYTES))
    yield (
        "challenge: 500 members",
        lambda _t, _n: Hostile("/v1/challenges", JSON, _filled(b"{", b'"":0,', b'"a":1}', 1000)),
    )
    yield "challenge: nested", lambda _t, _n: Hostile("/v1/challenges", JSON, b"[" * 1000)
    yield (
        "challenge: no such tenant",
        lambda _t, _n: Hostile("/v1/challenges", JSON, b'{"tenant":"nowhere","workload":"w"}'),
    )
    yield "attest: 4 MiB of dots", lambda _t, _n: Hostile(ATTEST, JOSE, b"." * MAX_REQUEST_BYTES)
    yield "attest: 4 MiB of one letter", lambda _t, _n: Hostile(ATTEST, JOSE, b"a" * MAX_REQUEST_BYTES)
    yield "attest: more than 4 MiB", lambda _t, _n: Hostile(ATTEST, JOSE, b"a" * (MAX_REQUEST_BYTES + 1))
    yield (
        "attest: a header of 3 MiB",
        lambda _t, _n: Hostile(ATTEST, JOSE, b64url(_filled(b"{", b'"":0,', b'"a":1}')).encode() + b".e30.e30"),
    )
    yield "attest: members", lambda _t, _n: _payload(_filled(b"{", b'"":0,', b'"a":1}'))
    yield (
        "attest: faults",
        lambda _t, _n: _payload(
            _filled(b'{"evidence":{"version":1,"scheme":"sev-snp","parts":{', b'"!":0,', b'"a":1}}}')
        ),
    )
    yield "attest: items", lambda _t, _n: _payload(_filled(b"[", b"0,", b"0]"))
    yield "attest: nested", lambda _t, _n: _payload(b"[" * _ROOM)
    yield "attest: one long string", lambda _t, _n: _payload(_filled(b'{"tenant":"', b"a", b'"}'))
    yield "attest: a bad signature", lambda trust, nonces: _signed(_claims(trust, nonces()))
    yield "attest: a nonce of another", lambda trust, _n: _own(trust, os.urandom(64))
    yield "attest: a bad report", lambda trust, nonces: _own(trust, nonces())
    yield "attest: no such scheme", lambda trust, nonces: _own(trust, nonces(), Envelope("no-such", {"report": b"x"}))
    yield (
        "attest: a part of 3 MiB",
        lambda trust, nonces: _own(trust, nonces(), Envelope("sev-snp", {"report": bytes(_ROOM * 3 // 4 - 4096)})),
    )
    yield (
        "attest: endorsements of 3 MiB",
        lambda trust, nonces: _own(
            trust, nonces(), Envelope("sev-snp", {"report": bytes(1184)}, {"vcek": _pems(4_000)})
        ),
    )
    yield (
        "attest: 24 KiB of PEM",
        lambda trust, nonces: _own(trust, nonces(), Envelope("sev-snp", {"report": bytes(1184)}, {"vcek": _pems(50)})),
    )
    yield (
        "attest: a log of 1 MiB of a TPM that no tenant enrolled",
        lambda trust, nonces: _tpm(trust, nonces(), _long_log()),
    )
    yield "attest: a log of 1 MiB of zeros", lambda trust, nonces: _tpm(trust, nonces(), bytes(MAX_LOG_BYTES))
    yield "attest: another media type", lambda _t, _n: Hostile(ATTEST, "text/plain", b"a" * 65_536)
    yield "enrolment: 64 KiB", lambda _t, _n: Hostile("/v1/tpm2/enrolments", JSON, _filled(b"[", b"0,", b"0]", 65_000))
    yield "enrolment: six certificates of noise", lambda _t, _n: Hostile(
        "/v1/tpm2/enrolments", JSON,
        json.dumps({
            "tenant": "default", "ek_chain": [b64url(os.urandom(6_000)) for _ in range(6)],
            "ek_public": b64url(os.urandom(300)), "ak_public": b64url(os.urandom(300)),
        }).encode(),
    )  # fmt: skip
    yield "enrolment: a state of noise", lambda _t, _n: Hostile(
        "/v1/tpm2/enrolments/000b", JSON,
        json.dumps({"state": b64url(os.urandom(30_000)), "secret": b64url(os.urandom(32))}).encode(), "PUT",
    )  # fmt: skip
    yield "no such path", lambda _t, _n: Hostile("/" + "a" * 2_000, JSON, b"{}", "GET")


def _own(trust: Trust, nonce: bytes, envelope: Envelope | None = None) -> Hostile:
    """A request that its own key signed."""
    keys = RequestKeys.fresh()
    found = envelope or Envelope("sev-snp", {"report": os.urandom(1184)})
    return Hostile(ATTEST, JOSE, request_body(trust, keys, nonce, found))
