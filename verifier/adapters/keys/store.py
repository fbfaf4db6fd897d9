"""What the key file holds, as it is read and written: documents in, frozen records out. No file is touched here.

Private keys are PKCS #8 (DER, base64url) in a body that is sealed as a whole (``sealed_file``). A retired signing key
loses its private half at the next write and keeps its public one until its last token is dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from pydantic import BaseModel, ConfigDict, Field

from verifier.core.ports import SigningKey
from verifier.core.settings import SKEW_MS
from verifier.formats.encoding import b64url, canonical, unb64url
from verifier.formats.jwk import PrivateKey
from verifier.token.jwks import generate_key, public_jwk, signing_key
from verifier.token.keyring import Keyring, KeyTimes

KEY_FILE_KIND = "vab-keys"
ROOT_FILE_KIND = "vab-root"
Algorithm = Literal["ES256", "ES384", "EdDSA", "RS256", "PS256"]
Moment = Annotated[int, Field(ge=0, lt=2**40)]  # Unix seconds


class _Document(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class StoredKey(_Document):
    """A signing key; ``private`` is gone once the key is retired."""

    kid: str
    alg: Algorithm
    published_at: Moment
    signs_from: Moment
    public: dict[str, str]
    private: str | None


class AnswerKey(_Document):
    """A key that signs answers, named by a root-signed set; always ES256."""

    kid: str
    public: dict[str, str]
    private: str


class AnswerKeys(_Document):
    """The current root-signed set (compact JWS) with the private halves that belong to it; the last one signs."""

    seq: Annotated[int, Field(ge=1)]
    issued_at: Moment
    expires_at: Moment
    key_set: str
    keys: Annotated[tuple[AnswerKey, ...], Field(min_length=1, strict=False)]


class TenantKeys(_Document):
    """One tenant's keys."""

    signing: Annotated[tuple[StoredKey, ...], Field(min_length=1, strict=False)]
    used_kids: Annotated[tuple[str, ...], Field(strict=False)]
    answers: AnswerKeys

    def ring(self) -> Keyring:
        """Return the pure part: times and kids."""
        times = tuple(KeyTimes(k.kid, k.alg, k.published_at, k.signs_from) for k in self.signing)
        return Keyring(times, frozenset(self.used_kids))


class KeyStore(_Document):
    """The whole body of the key file; ``generation`` rises with each write."""

    generation: Annotated[int, Field(ge=1)]
    master: str
    root: dict[str, str]  # public JWK of the offline root, to be pinned in images
    tenants: dict[str, TenantKeys]

    def body(self) -> dict[str, Any]:
        """Return the JSON form that is sealed."""
        return self.model_dump(mode="json")


class RootStore(_Document):
    """The body of the offline root's file. ``last_seq`` rises with each set, whatever became of the key file."""

    private: str
    last_seq: Annotated[int, Field(ge=0)]

    def body(self) -> dict[str, Any]:
        """Return the JSON form that is sealed."""
        return self.model_dump(mode="json")


def pack_private(private: PrivateKey) -> str:
    """Encode a private key for a body that is sealed."""
    return b64url(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def unpack(private: str, alg: str) -> SigningKey:
    """Load a private key; ``ValueError`` where it is none of that algorithm."""
    loaded = load_der_private_key(unb64url(private), password=None)
    return signing_key(loaded, alg)  # type: ignore[arg-type]  # another kind of key is refused in there


class Pantry:
    """New keys by kid, so that the pure keyring may ask for one and never see it."""

    def __init__(self) -> None:
        self.made: dict[str, PrivateKey] = {}

    def new_kid(self, alg: str) -> str:
        """Make a key, keep it, return its kid."""
        private = generate_key(alg)
        kid = signing_key(private, alg).kid
        self.made[kid] = private
        return kid


def restock(
    old: tuple[StoredKey, ...], ring: Keyring, made: Mapping[str, PrivateKey], now: int | None
) -> tuple[StoredKey, ...]:
    """Return the stored keys of a planned ring: new ones with their keys, retired ones without.

    Without a ``now`` that is believed, none loses its private half.
    """
    known = {key.kid: key for key in old}
    stored = []
    for times in ring.keys:
        if times.kid in made:
            private = made[times.kid]
            stored.append(
                StoredKey(
                    kid=times.kid,
                    alg=times.alg,  # type: ignore[arg-type]  # validated as one of the literals right here
                    published_at=times.published_at,
                    signs_from=times.signs_from,
                    public=public_jwk(private, times.alg),
                    private=pack_private(private),
                )
            )
            continue
        key = known[times.kid]
        retires_at = ring.retires_at(times)
        is_spent = now is not None and retires_at is not None and now > retires_at + SKEW_MS // 1000
        stored.append(key.model_copy(update={"private": None}) if is_spent else key)
    return tuple(stored)


def same(left: KeyStore, right: KeyStore) -> bool:
    """Tell whether two stores hold the same, generations aside."""
    return canonical({**left.body(), "generation": 0}) == canonical({**right.body(), "generation": 0})
