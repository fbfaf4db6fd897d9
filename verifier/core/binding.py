"""Binding: evidence and answers count for one request, so that relayed ones are of no use. Pure.

The evidence carries ``SHA-512(label | 00 | nonce | thumbprint(sig) | thumbprint(enc) | H(components) | H(context))``
whole where the field has 64 bytes, the SHA-256 of the same input where it has 32. Never cut, never padded.
Source: docs/what-a-token-means.md, "How the evidence is bound"; the nonce: docs/adr/0004-keys-and-answers.md.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from verifier.core.ids import BindingId, ServiceId, WireId
from verifier.formats.encoding import b64url, canonical, sha256
from verifier.formats.errors import EvidenceRejected, MalformedEvidence

LABEL = b"vault-attestation-bridge/v1"
NONCE_SIZE = 64
NONCE_VERSION = 1
NONCE_LIFE_MS = 120_000
USER_DATA_MAX = 64
_THUMBPRINT = 32
_NONCE_HEAD = 1 + 1 + 2 + 8 + 28
_NONCE_MAC = 24

# Every scheme's user data is compared centrally and under one id, early (step 3) and in step 5.


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a composite that the binder vouches for; ``value`` is a TPM Name or a digest of evidence."""

    scheme: str
    kind: Literal["name", "evidence"]
    value: bytes


@dataclass(frozen=True, slots=True)
class Context:
    """What the request is for; ``audience`` must be the workload's own."""

    issuer: str
    tenant: str
    workload: str
    audience: str
    user_data: bytes = b""


@dataclass(frozen=True, slots=True)
class BindingDigest:
    """The value that evidence must carry, in its two sizes, and what formats with a field of their own carry beside it.

    ``over`` gives the value of a composite's binder, which vouches for parts that were made before it.
    """

    whole: bytes  # 64 bytes, SHA-512
    short: bytes  # 32 bytes, SHA-256 of the same input
    nonce: bytes = b""  # the challenge's own 64 bytes
    enc_spki: bytes = b""  # ``enc`` as DER SubjectPublicKeyInfo
    vouching: Callable[[Sequence[Component]], BindingDigest] | None = field(default=None, compare=False, repr=False)

    def over(self, components: Sequence[Component]) -> BindingDigest:
        """Return the digest with these components in it; with none of them it is this one."""
        if not components:
            return self
        if self.vouching is None:
            raise ValueError("binding: made without its source, so nothing can be added to it")
        return self.vouching(components)


def evidence_component(scheme: str, unverified_parts: Mapping[str, bytes]) -> Component:
    """Name a part of a composite by what it is: SHA-256 of the RFC 8785 form of its parts, endorsements left out."""
    form = {name: b64url(data) for name, data in unverified_parts.items()}
    return Component(scheme, "evidence", sha256(canonical(form)))


def binding_digest(
    nonce: bytes,
    sig_thumbprint: bytes,
    enc_thumbprint: bytes,
    context: Context,
    components: Sequence[Component] = (),
    *,
    enc_spki: bytes = b"",
) -> BindingDigest:
    """Compute what evidence must carry. Sizes are the caller's promise: a wrong one is a ``ValueError``."""
    for name, value, size in (
        ("nonce", nonce, NONCE_SIZE),
        ("sig", sig_thumbprint, _THUMBPRINT),
        ("enc", enc_thumbprint, _THUMBPRINT),
    ):
        if len(value) != size:
            raise ValueError(f"{name}: got {len(value)} bytes, want {size}")
    if len(context.user_data) > USER_DATA_MAX:
        raise ValueError(f"user_data: got {len(context.user_data)} bytes, want at most {USER_DATA_MAX}")
    listed = [{"scheme": c.scheme, "kind": c.kind, "value": c.value.hex()} for c in components]
    context_form = {
        "issuer": context.issuer,
        "tenant": context.tenant,
        "workload": context.workload,
        "audience": context.audience,
        "user_data": b64url(context.user_data),
    }
    source = b"".join(
        (
            LABEL,
            b"\x00",
            nonce,
            sig_thumbprint,
            enc_thumbprint,
            sha256(canonical(listed)) if listed else bytes(32),
            sha256(canonical(context_form)),
        )
    )
    return BindingDigest(
        whole=hashlib.sha512(source).digest(),
        short=hashlib.sha256(source).digest(),
        nonce=nonce,
        enc_spki=enc_spki,
        vouching=partial(binding_digest, nonce, sig_thumbprint, enc_thumbprint, context, enc_spki=enc_spki),
    )


def require_bound(seen: bytes, want: bytes, check_id: str = BindingId.USER_DATA) -> None:
    """Refuse user data that is not exactly the expected digest; an empty or shorter field never satisfies it."""
    if not want or not hmac.compare_digest(seen, want):
        raise EvidenceRejected(check_id, f"user data: got {seen.hex() or 'nothing'}, want {want.hex()}")


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce as read: nothing in it is believed before ``check_nonce``."""

    version: int
    key_id: int
    epoch: int
    issued_at_ms: int


def _nonce_mac(key: bytes, head: bytes, issuer: str, tenant: str, workload: str) -> bytes:
    scope = sha256(canonical({"issuer": issuer, "tenant": tenant, "workload": workload}))
    return hmac.digest(key, head + scope, "sha256")[:_NONCE_MAC]


def make_nonce(
    key: bytes, *, key_id: int, epoch: int, now_ms: int, random: bytes, issuer: str, tenant: str, workload: str
) -> bytes:
    """Make a nonce of 64 bytes. Nothing is stored: the MAC is what makes it ours."""
    head = bytes((NONCE_VERSION, key_id)) + epoch.to_bytes(2, "big") + now_ms.to_bytes(8, "big") + random
    if len(head) != _NONCE_HEAD:
        raise ValueError(f"random: got {len(random)} bytes, want 28")
    return head + _nonce_mac(key, head, issuer, tenant, workload)


def read_nonce(nonce: bytes) -> Nonce:
    """Read a nonce's fields, unverified. Raises ``MalformedEvidence('wire.nonce')`` for a wrong size or version."""
    if len(nonce) != NONCE_SIZE:
        raise MalformedEvidence(WireId.NONCE, f"nonce: got {len(nonce)} bytes, want {NONCE_SIZE}")
    if nonce[0] != NONCE_VERSION:
        raise MalformedEvidence(WireId.NONCE, f"nonce.version: got {nonce[0]}, want {NONCE_VERSION}")
    return Nonce(nonce[0], nonce[1], int.from_bytes(nonce[2:4], "big"), int.from_bytes(nonce[4:12], "big"))


def check_nonce(
    nonce: bytes,
    key: bytes | None,
    *,
    epoch: int,
    now_ms: int,
    skew_ms: int,
    issuer: str,
    tenant: str,
    workload: str,
) -> Nonce:
    """Check MAC, epoch and age; ``key`` is the one that the nonce's key id names, ``None`` if there is none.

    Raises ``EvidenceRejected`` under ``service.nonce.mac``, ``service.nonce.epoch`` or ``service.nonce.expired``.
    Whether it was spent is for the store, in the record's own transaction.
    """
    read = read_nonce(nonce)
    if key is None or not hmac.compare_digest(
        _nonce_mac(key, nonce[:_NONCE_HEAD], issuer, tenant, workload), nonce[_NONCE_HEAD:]
    ):
        raise EvidenceRejected(ServiceId.NONCE_MAC, "nonce: not issued here, or for another tenant or workload")
    if read.epoch != epoch:
        raise EvidenceRejected(ServiceId.NONCE_EPOCH, f"nonce.epoch: got {read.epoch}, want {epoch}")
    if not read.issued_at_ms - skew_ms <= now_ms <= read.issued_at_ms + NONCE_LIFE_MS:
        age = now_ms - read.issued_at_ms
        raise EvidenceRejected(ServiceId.NONCE_EXPIRED, f"nonce: got age {age} ms, want 0 to {NONCE_LIFE_MS}")
    return read
