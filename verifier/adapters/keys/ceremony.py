"""Key ceremonies: what needs the offline root, or makes key files. Used by `verifier keys` and by tests, never by a service.

The root signs sets of answer keys and nothing else. Each renewal makes fresh answer keys and raises the root's own
counter, which lives in the root's file: restoring an old key file cannot make the root sign a ``seq`` twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from verifier.adapters.challenges import MASTER_SIZE
from verifier.adapters.keys.sealed_file import About, SealedFile, read_passphrase
from verifier.adapters.keys.signer_file import KeyFile
from verifier.adapters.keys.store import (
    KEY_FILE_KIND,
    ROOT_FILE_KIND,
    AnswerKey,
    AnswerKeys,
    KeyStore,
    Pantry,
    RootStore,
    TenantKeys,
    pack_private,
    restock,
    unpack,
)
from verifier.core.ports import SigningKey
from verifier.core.settings import SigningAlgorithm
from verifier.formats.encoding import b64url, is_name
from verifier.formats.errors import ConfigError
from verifier.token.answer import ANSWER_ALG, sign_key_set
from verifier.token.jwks import generate_key, signing_key
from verifier.token.keyring import Keyring, RotationRules, first_key

ANSWER_SET_LIFE_S: Final = 180 * 86_400


@dataclass(frozen=True, slots=True)
class SealedPaths:
    """A sealed file and the file that holds its passphrase."""

    file: Path
    passphrase_file: Path

    def open(self) -> SealedFile:
        """Return the sealed file, not read yet."""
        return SealedFile(self.file, self.passphrase_file)


@dataclass(frozen=True, slots=True)
class _Signed:
    """What one signing by the root is about."""

    root: SigningKey
    seq: int
    now: int
    life_s: int


def create_key_file(
    keys: SealedPaths,
    root: SealedPaths,
    *,
    base_url: str,
    tenants: Iterable[str],
    simulated: bool,
    algorithm: SigningAlgorithm,
    now: int,
    life_s: int = ANSWER_SET_LIFE_S,
    is_new_root: bool = True,
) -> dict[str, str]:
    """Make the key file and its offline root, or a key file under a root that images pin already (the old file was lost).

    What is to be made may not exist. Returns the root's public JWK, to be pinned in images.
    """
    names = _require_init(keys, root, tenants, is_new_root=is_new_root)
    about = About(kind=ROOT_FILE_KIND, base_url=base_url, simulated=simulated)
    for paths in (root, keys):
        paths.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if is_new_root:
        with root.open().lock():
            # The root first: a key file without its root would be of no use in half a year.
            root.open().write(about, RootStore(private=pack_private(generate_key(ANSWER_ALG)), last_seq=0).body())
    with _root_hand(root, about, now=now, life_s=life_s) as signed, keys.open().lock():
        public = dict(signed.root.public_jwk)
        store = KeyStore(
            generation=1,
            master=b64url(secrets.token_bytes(MASTER_SIZE)),
            root=public,
            tenants={name: _new_tenant(f"{base_url}/t/{name}", signed, algorithm) for name in names},
        )
        keys.open().write(about.model_copy(update={"kind": KEY_FILE_KIND}), store.body())
    return public


def _require_init(
    keys: SealedPaths, root: SealedPaths, tenants: Iterable[str], *, is_new_root: bool
) -> tuple[str, ...]:
    """Refuse what would overwrite keys, mix them up, or name a tenant that Vault would expand or fold."""
    names = tuple(dict.fromkeys(tenants))
    if not names:
        raise ConfigError("tenants", "name", "none", "at least one tenant")
    for name in names:
        if not is_name(name):
            raise ConfigError("tenants", "name", name, "a-z, 0-9 and inner hyphens, at most 63")
    for kind, paths in (("key file", keys), *([("root file", root)] if is_new_root else [])):
        if paths.file.exists():
            raise ConfigError(str(paths.file), kind, "a file", "no file: existing keys are never overwritten")
    if keys.file.resolve() == root.file.resolve():
        raise ConfigError(str(root.file), "root file", "the key file", "a file of its own, kept offline")
    if read_passphrase(keys.passphrase_file) == read_passphrase(root.passphrase_file):
        want = "a passphrase of its own: the key file's is on the verifier's machine"
        raise ConfigError(str(root.passphrase_file), "root passphrase", "the key file's", want)
    return names


def renew_answer_keys(key_file: KeyFile, root: SealedPaths, *, now: int, life_s: int = ANSWER_SET_LIFE_S) -> int:
    """Make fresh answer keys for every tenant and let the root sign them with a higher ``seq``; returns that ``seq``."""
    with _root_of(key_file, root, now=now, life_s=life_s) as signed:

        def change(store: KeyStore) -> KeyStore:
            tenants = {
                name: kept.model_copy(update={"answers": _new_answers(key_file.issuer(name), signed)})
                for name, kept in store.tenants.items()
            }
            return store.model_copy(update={"tenants": tenants})

        key_file.update(change)
        return signed.seq


def add_tenant(key_file: KeyFile, root: SealedPaths, tenant: str, *, algorithm: SigningAlgorithm, now: int) -> None:
    """Make the keys of one more tenant; its answer keys need the root as well."""
    if not is_name(tenant) or tenant in key_file.tenants():
        raise ConfigError("tenant", "name", tenant, "a new name of a-z, 0-9 and inner hyphens, at most 63")
    with _root_of(key_file, root, now=now) as signed:
        added = _new_tenant(key_file.issuer(tenant), signed, algorithm)
        key_file.update(lambda store: store.model_copy(update={"tenants": {**store.tenants, tenant: added}}))


@contextmanager
def _root_of(key_file: KeyFile, root: SealedPaths, *, now: int, life_s: int = ANSWER_SET_LIFE_S) -> Iterator[_Signed]:
    """Open the root of this key file; another root is refused before its counter moves."""
    about = About(kind=ROOT_FILE_KIND, base_url=key_file.base_url, simulated=key_file.simulated)
    highest = max(key_file.answer_seq(tenant) for tenant in key_file.tenants())
    with _root_hand(root, about, now=now, life_s=life_s, public=key_file.root_jwk(), highest=highest) as signed:
        yield signed


@contextmanager
def _root_hand(
    root: SealedPaths, want: About, *, now: int, life_s: int, public: dict[str, str] | None = None, highest: int = 0
) -> Iterator[_Signed]:
    """Open a root under its lock, its counter raised on disk before anything is signed."""
    sealed = root.open()
    path = str(sealed.path)
    with sealed.lock():
        about, opened = sealed.read(ROOT_FILE_KIND)
        if about != want:
            raise ConfigError(
                path,
                "about",
                f"{about.base_url}, simulated {about.simulated}",
                f"{want.base_url}, simulated {want.simulated}",
            )
        try:
            store = RootStore.model_validate_json(opened)
            key = unpack(store.private, ANSWER_ALG)
        except (ValidationError, ValueError):
            raise ConfigError(path, "body", "other content", "a root that `verifier keys init` made") from None
        if public is not None and dict(key.public_jwk) != public:
            raise ConfigError(path, "root", key.kid, "the root of this key file")
        seq = max(store.last_seq, highest) + 1
        sealed.write(about, store.model_copy(update={"last_seq": seq}).body())
        yield _Signed(key, seq, now, life_s)


def _new_tenant(issuer: str, signed: _Signed, algorithm: SigningAlgorithm) -> TenantKeys:
    pantry = Pantry()
    rules = RotationRules(algorithm, lead_s=0, life_s=0)
    ring = first_key(Keyring(), signed.now, rules, pantry.new_kid)
    return TenantKeys(
        signing=restock((), ring, pantry.made, signed.now),
        used_kids=tuple(sorted(ring.used_kids)),
        answers=_new_answers(issuer, signed),
    )


def _new_answers(issuer: str, signed: _Signed) -> AnswerKeys:
    private = generate_key(ANSWER_ALG)
    key = signing_key(private, ANSWER_ALG)
    expires_at = signed.now + signed.life_s
    key_set = sign_key_set(
        signed.root, issuer=issuer, seq=signed.seq, issued_at=signed.now, expires_at=expires_at, keys=[key.public_jwk]
    )
    return AnswerKeys(
        seq=signed.seq,
        issued_at=signed.now,
        expires_at=expires_at,
        key_set=key_set,
        keys=(AnswerKey(kid=key.kid, public=dict(key.public_jwk), private=pack_private(private)),),
    )
