"""The embedded default for signing keys: an encrypted key file that several processes share.

``KeyFile`` gives the service its keys from an immutable snapshot. At most once a second it looks whether the file was
replaced; only then is it read again. A file that has gone or does not open any more stops the signing
(``CannotDecide('service.keys')``): an operator who takes the keys away means it.
Rotation (``rotate_due``, ``rotate_now``) happens under the file's lock, in the worker or by `verifier keys rotate`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from verifier.adapters.challenges import enrolment_key
from verifier.adapters.keys.sealed_file import About, SealedFile, Stamp, stamp
from verifier.adapters.keys.store import (
    KEY_FILE_KIND,
    KeyStore,
    Pantry,
    StoredKey,
    TenantKeys,
    restock,
    same,
    unpack,
)
from verifier.core.ids import ServiceId
from verifier.core.ports import SigningKey
from verifier.core.settings import Settings
from verifier.formats.encoding import unb64url
from verifier.formats.errors import CannotDecide, ConfigError
from verifier.token.jwks import Document, PublicKey, discovery_document, jwks_document
from verifier.token.keyring import Keyring, RotationRules, next_rotation, plan, rotate, rotate_at_once

_LOOK_EVERY_S: Final = 1.0
_LIFE_S: Final = 30 * 86_400


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown: nothing private."""

    tenant: str
    use: str  # "token" or "answer"
    kid: str
    alg: str
    state: str
    published_at: int
    signs_from: int
    until: int | None  # token: when its successor signs; answer: when its set expires


@dataclass(frozen=True, slots=True)
class _Tenant:
    ring: Keyring
    signers: Mapping[str, SigningKey]
    publics: Mapping[str, PublicKey]
    answer_key: SigningKey
    key_set: str
    answers_from: int
    answers_until: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """Everything loaded from one state of the file. ``documents`` fills as they are asked for."""

    store: KeyStore
    master: bytes
    enrolment: bytes
    tenants: Mapping[str, _Tenant]
    documents: dict[tuple[str, str, tuple[str, ...]], Document] = field(default_factory=dict)


class KeyFile:
    """The keys of one verifier process (``service.parts.Keys``). Safe for threads, for forks, and beside other processes."""

    def __init__(
        self,
        path: Path,
        passphrase_file: Path,
        *,
        base_url: str,
        simulated: bool,
        rules: RotationRules,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open and load the file; ``ConfigError`` where it is missing, not ours, or of the other kind of process."""
        self._file = SealedFile(path, passphrase_file)
        self._about = About(kind=KEY_FILE_KIND, base_url=base_url, simulated=simulated)
        self._rules = rules
        self._monotonic = monotonic
        self._guard, self._pid = threading.Lock(), os.getpid()
        self._stamp: Stamp | None = stamp(path)
        self._looked_at = monotonic()
        self._failure = ""
        self._snapshot: _Snapshot | None = self._load()

    @classmethod
    def from_settings(cls, settings: Settings) -> KeyFile:
        """Open the key file that the settings name, and see that every tenant has keys in it."""
        rules = RotationRules(settings.signing_algorithm, settings.key_publish_lead_s, settings.signing_key_life_s)
        opened = cls(
            Path(settings.key_file),
            Path(settings.key_passphrase_file),
            base_url=settings.base_url,
            simulated=settings.simulated,
            rules=rules,
        )
        for tenant in settings.tenants:
            if tenant not in opened.tenants():
                want = f"keys of tenant {tenant} (`verifier keys add-tenant {tenant}`)"
                raise ConfigError(settings.key_file, "tenants", list(opened.tenants()), want)
        return opened

    @classmethod
    def for_operator(cls, path: Path, passphrase_file: Path, *, algorithm: str = "", lead_s: int = 600) -> KeyFile:
        """Open a key file as what it says it is: for the command line, which serves no request."""
        about = SealedFile(path, passphrase_file).peek(KEY_FILE_KIND)
        rules = RotationRules(algorithm, lead_s, _LIFE_S)
        return cls(path, passphrase_file, base_url=about.base_url, simulated=about.simulated, rules=rules)

    # -- what the service asks ------------------------------------------------------------------------------------------

    def signing_key(self, tenant: str, now: int) -> SigningKey:
        """Return the key that signs the tenant's tokens at ``now`` (Unix seconds)."""
        keys = self._tenant(tenant)
        kid = keys.ring.signing(now).kid
        if kid not in keys.signers:
            raise CannotDecide(
                ServiceId.KEYS, "signing key: its private half was removed when it retired; check the clock"
            )
        return keys.signers[kid]

    def answer_key(self, tenant: str, now: int) -> tuple[SigningKey, str]:
        """Return the key that signs answers and the root-signed set that names it; none where the set is not valid now."""
        keys = self._tenant(tenant)
        if not keys.answers_from <= now < keys.answers_until:
            raise CannotDecide(
                ServiceId.ANSWER_KEYS, "answer keys: the set is not valid now; run `verifier keys sign-answer-keys`"
            )
        return keys.answer_key, keys.key_set

    def jwks(self, tenant: str, now: int) -> tuple[bytes, str]:
        """Return the tenant's JWKS as static bytes, and their entity tag."""
        document = self._document("jwks", tenant, now, lambda _issuer, keys: jwks_document(keys))
        return document.body, document.etag

    def discovery(self, tenant: str, now: int) -> tuple[bytes, str]:
        """Return the tenant's OIDC discovery document as static bytes, and their entity tag."""
        document = self._document(
            "discovery", tenant, now, lambda issuer, keys: discovery_document(issuer, [key.alg for key in keys])
        )
        return document.body, document.etag

    def next_rotation(self, tenant: str, now: int) -> int:
        """Return when the tenant's newest key begins to sign, or, where it does, when the next one is to be published."""
        return next_rotation(self._tenant(tenant).ring, now, self._rules)

    def answers_until(self, tenant: str) -> int:
        """Return when the tenant's set of answer keys ends."""
        return self._tenant(tenant).answers_until

    def enrolment_key(self) -> bytes:
        """Return the HMAC key of the TPM enrolment's state."""
        return self._current().enrolment

    def master(self) -> bytes:
        """Return the master secret that ``ChallengeKeys`` derives from: ``ChallengeKeys(key_file.master)``."""
        return self._current().master

    def tenants(self) -> tuple[str, ...]:
        """Return the tenants that have keys."""
        return tuple(sorted(self._current().tenants))

    @property
    def simulated(self) -> bool:
        """Whether these keys are for forged TEEs."""
        return self._about.simulated

    @property
    def base_url(self) -> str:
        """The base of every issuer that these keys belong to."""
        return self._about.base_url

    def issuer(self, tenant: str) -> str:
        """Return the tenant's issuer URL."""
        return f"{self._about.base_url}/t/{tenant}"

    def root_jwk(self) -> dict[str, str]:
        """Return the public JWK of the offline root."""
        return dict(self._current().store.root)

    def answer_seq(self, tenant: str) -> int:
        """Return the ``seq`` of the tenant's current answer-key set."""
        self._tenant(tenant)
        return self._current().store.tenants[tenant].answers.seq

    def describe(self, now: int) -> tuple[KeyInfo, ...]:
        """Return every key, with its state at ``now``; nothing private."""
        found: list[KeyInfo] = []
        for name, stored in sorted(self._current().store.tenants.items()):
            ring = stored.ring()
            found += [
                KeyInfo(
                    name, "token", k.kid, k.alg, ring.state(k, now), k.published_at, k.signs_from, ring.retires_at(k)
                )
                for k in ring.keys
            ]
            a = stored.answers
            valid = a.issued_at <= now < a.expires_at
            for position, key in enumerate(a.keys):
                state = "retired" if position + 1 < len(a.keys) else "active" if valid else "expired"
                found.append(KeyInfo(name, "answer", key.kid, "ES256", state, a.issued_at, a.issued_at, a.expires_at))
        return tuple(found)

    # -- what the worker and the command line ask -----------------------------------------------------------------------

    def rotate_due(self, now: int) -> tuple[str, ...]:
        """Do what is due at ``now``, which is believed, for every tenant; returns the tenants whose keys changed. For the worker.

        Takes the lock only when something is due. A file that cannot be read or written now is ``CannotDecide``: the keys
        go on as they are, and the next round tries again.
        """
        if not self._is_due(now):
            return ()
        try:
            return self._rotate(lambda _tenant, ring, pantry: plan(ring, now, self._rules, pantry.new_kid), now)
        except (ConfigError, OSError) as error:
            raise CannotDecide(
                ServiceId.KEYS, f"key file: a rotation is due and the file cannot be written: {error}"
            ) from None

    def _is_due(self, now: int) -> bool:
        for keys in self._current().store.tenants.values():
            ring = keys.ring()
            due = plan(ring, now, self._rules, lambda _alg: "due")
            if due != ring or restock(keys.signing, ring, {}, now) != keys.signing:
                return True
        return False

    def rotate_now(self, now: int, tenant: str | None = None, *, at_once: bool = False) -> tuple[str, ...]:
        """Publish a successor now for one tenant or all; one that has a successor already is left as it is.

        ``at_once``: it signs from now on, whatever else is published. Nothing is dropped by a clock that nobody has judged.
        """
        turn = rotate_at_once if at_once else rotate
        if tenant is not None:
            self._tenant(tenant)

        def step(name: str, ring: Keyring, pantry: Pantry) -> Keyring:
            return turn(ring, now, self._rules, pantry.new_kid) if tenant in (None, name) else ring

        return self._rotate(step, None)

    def update(self, change: Callable[[KeyStore], KeyStore]) -> bool:
        """Change the stored keys under the file's lock, from their newest state; tells whether anything was written."""
        with self._file.lock():
            before = self._read()
            after = change(before)
            if same(before, after):
                return False
            self._file.write(self._about, after.model_copy(update={"generation": before.generation + 1}).body())
        self._looked_at = float("-inf")
        return True

    def _rotate(self, step: Callable[[str, Keyring, Pantry], Keyring], now: int | None) -> tuple[str, ...]:
        changed: list[str] = []

        def change(store: KeyStore) -> KeyStore:
            tenants = {}
            for name, keys in store.tenants.items():
                pantry = Pantry()
                ring = step(name, keys.ring(), pantry)
                signing = restock(keys.signing, ring, pantry.made, now)
                tenants[name] = keys.model_copy(update={"signing": signing, "used_kids": tuple(sorted(ring.used_kids))})
                if tenants[name] != keys:
                    changed.append(name)
            return store.model_copy(update={"tenants": tenants})

        self.update(change)
        return tuple(changed)

    # -- loading --------------------------------------------------------------------------------------------------------

    def _tenant(self, tenant: str) -> _Tenant:
        found = self._current().tenants.get(tenant)
        if found is None:
            raise CannotDecide(ServiceId.KEYS, f"tenant: {tenant} has no keys")
        return found

    def _document(
        self, which: str, tenant: str, now: int, make: Callable[[str, list[PublicKey]], Document]
    ) -> Document:
        snapshot, keys = self._current(), self._tenant(tenant)
        kids = tuple(key.kid for key in keys.ring.published(now))
        known = snapshot.documents.get((which, tenant, kids))
        if known is None:
            known = make(self.issuer(tenant), [keys.publics[kid] for kid in kids])
            snapshot.documents[which, tenant, kids] = known
        return known

    def _current(self) -> _Snapshot:
        if self._monotonic() - self._looked_at >= _LOOK_EVERY_S:
            self._look()
        snapshot = self._snapshot
        if snapshot is None:
            raise CannotDecide(ServiceId.KEYS, f"key file: {self._failure}")
        return snapshot

    def _look(self) -> None:
        """Load the file again if it was replaced. One thread does; the others go on with what they have."""
        if self._pid != os.getpid():  # forked: the lock may have been held by a thread that this process does not have
            self._guard, self._pid = threading.Lock(), os.getpid()
        if not self._guard.acquire(blocking=self._snapshot is None):
            return
        try:
            seen = stamp(self._file.path)
            if seen != self._stamp or self._snapshot is None:
                self._reload(seen)
            self._looked_at = self._monotonic()
        finally:
            self._guard.release()

    def _reload(self, seen: Stamp | None) -> None:
        try:
            self._snapshot = self._load()
        except ConfigError as error:
            # Missing, not ours to read, or a seal that does not open: the words of who found it, which hold no key.
            self._snapshot, self._failure = None, f"{error.key}: got {error.got}, want {error.want}"
        self._stamp = seen

    def _load(self) -> _Snapshot:
        store = self._read()
        try:
            tenants = {name: _load_tenant(keys) for name, keys in store.tenants.items()}
            master = unb64url(store.master)
            return _Snapshot(store, master, enrolment_key(master), tenants)
        except ValueError as error:
            raise ConfigError(str(self._file.path), "body", str(error), "keys that match their entries") from None

    def _read(self) -> KeyStore:
        self._require_ours(self._file.peek(KEY_FILE_KIND))
        about, opened = self._file.read(KEY_FILE_KIND)
        self._require_ours(about)
        try:
            return KeyStore.model_validate_json(opened)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(step) for step in first["loc"])
            raise ConfigError(str(self._file.path), where, first["type"], first["msg"]) from None

    def _require_ours(self, about: About) -> None:
        path = str(self._file.path)
        if about.simulated != self._about.simulated:
            want = f"{self._about.simulated}: simulated TEEs have keys, a store and a process of their own"
            raise ConfigError(path, "simulated", about.simulated, want)
        if about.base_url != self._about.base_url:
            raise ConfigError(path, "base_url", about.base_url, self._about.base_url)


def _load_tenant(keys: TenantKeys) -> _Tenant:
    signers = {key.kid: _matching(key, unpack(key.private, key.alg)) for key in keys.signing if key.private is not None}
    answer = keys.answers.keys[-1]
    signer = unpack(answer.private, "ES256")
    if signer.kid != answer.kid:
        raise ValueError(f"answer key {answer.kid}: private half is of {signer.kid}")
    publics = {key.kid: PublicKey(key.kid, key.alg, key.public) for key in keys.signing}
    jwks_document(publics.values())  # refuses a kid that is not its key's thumbprint, now instead of at a request
    a = keys.answers
    return _Tenant(keys.ring(), signers, publics, signer, a.key_set, a.issued_at, a.expires_at)


def _matching(key: StoredKey, signer: SigningKey) -> SigningKey:
    if signer.kid != key.kid or dict(signer.public_jwk) != key.public:
        raise ValueError(f"signing key {key.kid}: private half is of {signer.kid}")
    return signer
