"""The way of one attestation: ask, bind, collect, send, open. A retry (``patience``) starts at the first step, with new keys.

Source: docs/architecture.md (the steps); docs/what-a-token-means.md, "How the evidence is bound".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from attester.answer import Expected, Opened, Pin, open_answer
from attester.https import Client
from attester.ids import AttesterId
from attester.keys import REQUEST_MEDIA_TYPE, RequestKeys, sign_request
from attester.problems import raise_problem
from attester.providers import Provider
from attester.settings import Trust
from verifier.core.binding import NONCE_SIZE, BindingDigest, Context, binding_digest
from verifier.core.envelope import Envelope
from verifier.formats.encoding import b64url, p256_spki, unb64url
from verifier.formats.errors import MalformedEvidence

_OK = 200


def verifier_client(trust: Trust, left: Callable[[], float] = lambda: math.inf) -> Client:
    """Return the client of the verifier, under the CA that the configuration names and no other; ``left`` as in ``Client``."""
    return Client(trust.url, trust.ca, name="verifier", left=left)


def challenge(client: Client, trust: Trust) -> bytes:
    """Ask for a nonce of 64 bytes."""
    reply = client.post_json("/v1/challenges", {"tenant": trust.tenant, "workload": trust.workload})
    if reply.status != _OK:
        raise_problem(reply)
    text = reply.json(AttesterId.VERIFIER_ANSWER).get("nonce")
    try:
        nonce = unb64url(text) if isinstance(text, str) else b""
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_SIZE:
        raise MalformedEvidence(AttesterId.VERIFIER_ANSWER, f"nonce: got {len(nonce)} bytes, want {NONCE_SIZE}")
    return nonce


def bind(trust: Trust, keys: RequestKeys, nonce: bytes) -> BindingDigest:
    """Return the digest that ties evidence to this nonce, these keys and this workload."""
    context = Context(trust.issuer, trust.tenant, trust.workload, trust.audience)
    enc_spki = p256_spki(keys.public()["enc"])
    return binding_digest(nonce, keys.sig_thumbprint, keys.enc_thumbprint, context, enc_spki=enc_spki)


def request_body(trust: Trust, keys: RequestKeys, nonce: bytes, evidence: Envelope) -> bytes:
    """Return the signed request (``verifier.core.wire.AttestationClaims``)."""
    claims: dict[str, Any] = {
        "tenant": trust.tenant,
        "workload": trust.workload,
        "audience": trust.audience,
        "nonce": b64url(nonce),
        "keys": keys.public(),
        "user_data": "",
        "evidence": evidence.as_json(),
    }
    return sign_request(claims, keys.sig)


def attest_once(client: Client, trust: Trust, provider: Provider, now: Callable[[], int]) -> Opened:
    """Walk the whole way once, with new keys."""
    nonce = challenge(client, trust)
    keys = RequestKeys.fresh()
    body = request_body(trust, keys, nonce, provider.collect(bind(trust, keys, nonce)))
    headers = {"Content-Type": REQUEST_MEDIA_TYPE, "Accept": "application/json"}
    reply = client.call("POST", "/v1/attestations", body=body, headers=headers)
    if reply.status != _OK:
        raise_problem(reply)
    sealed = reply.json(AttesterId.VERIFIER_ANSWER).get("answer")
    if not isinstance(sealed, str):
        raise MalformedEvidence(AttesterId.VERIFIER_ANSWER, "answer: got none, want a compact JWE")
    expected = Expected(
        issuer=trust.issuer,
        tenant=trust.tenant,
        workload=trust.workload,
        nonce=nonce,
        sig_thumbprint=keys.sig_thumbprint,
        enc_thumbprint=keys.enc_thumbprint,
    )
    pin = Pin(trust.root, trust.root_lowest_seq)
    return open_answer(sealed, enc_key=keys.enc, expected=expected, pin=pin, now=now())
