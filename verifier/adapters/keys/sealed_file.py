"""Sealed files: JSON under a passphrase, for the key file and the offline root.

The file is one JSON object: what it is in clear (``about``), how the key is derived (``kdf``), a nonce, and the sealed
body. scrypt (RFC 7914) makes a 256-bit key of the passphrase, AES-256-GCM seals the body with everything else in the
file as associated data, so that no field in clear can be changed without the passphrase. Mode 0600, written to a new
file, synced and renamed under a lock: a reader sees the old file or the new one, also after a power cut.
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from cachetools import LRUCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from verifier.adapters.files import keep_owner, replace_durably
from verifier.formats.encoding import b64url, canonical, sha256, unb64url
from verifier.formats.errors import ConfigError

PASSPHRASE_MIN: Final = 16
# 32 MiB and about 0.1 s a guess; the passphrase is a file that a machine made, so this is a second line of defence.
SCRYPT_N: Final = 2**15
_SALT_SIZE, _NONCE_SIZE, _KEY_SIZE, _CHECK_SIZE = 16, 12, 32, 8
_CHECK_LABEL: Final = b"vault-attestation-bridge/sealed-file/check"


# The last keys that this process derived. A process opens its key file, and a ceremony the root's.
_DERIVED: LRUCache[bytes, bytes] = LRUCache(4)


class _Kdf(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    name: Annotated[str, Field(pattern="^scrypt$")] = "scrypt"
    n: Annotated[int, Field(ge=2**14, le=2**20)] = SCRYPT_N
    r: Annotated[int, Field(ge=8, le=8)] = 8
    p: Annotated[int, Field(ge=1, le=4)] = 1
    salt: str


class About(BaseModel):
    """What a file is, readable without the passphrase, authenticated with it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    kind: str
    version: Annotated[int, Field(ge=1, le=1)] = 1
    base_url: str
    simulated: bool


class _Sealed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    about: About
    kdf: _Kdf
    nonce: str
    body: str
    # Tells a wrong passphrase from a damaged file, and nothing more: it is not authenticated. Files of before have none.
    check: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file is replaced."""

    device: int
    inode: int
    size: int
    mtime_ns: int


def stamp(path: Path) -> Stamp | None:
    """Return the file's stamp; ``None`` where there is no file to be seen."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return Stamp(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns)


def read_passphrase(path: Path) -> bytes:
    """Read a passphrase: the file's bytes without trailing line ends, at least 16 of them.

    Its mode is not judged: container platforms mount secrets world-readable inside a mount of their own.
    """
    try:
        passphrase = path.read_bytes().rstrip(b"\r\n")
    except OSError as error:
        raise ConfigError(
            str(path), "passphrase", error.strerror, "a readable file that holds the passphrase"
        ) from None
    if len(passphrase) < PASSPHRASE_MIN:
        want = f"at least {PASSPHRASE_MIN} bytes"
        raise ConfigError(str(path), "passphrase", f"{len(passphrase)} bytes", want)
    return passphrase


class SealedFile:
    """One sealed file. Derived keys are kept by salt and passphrase: neither a re-read nor a fork of this process costs a scrypt."""

    def __init__(self, path: Path, passphrase_file: Path) -> None:
        self.path = path
        self._passphrase_file = passphrase_file

    def exists(self) -> bool:
        """Tell whether the file is there."""
        return self.path.exists()

    def read(self, kind: str) -> tuple[About, bytes]:
        """Return what the file says it is and its opened body. Anything wrong is ``ConfigError``, by name."""
        sealed = self._parse(kind)
        nonce, body = self._unb64("nonce", sealed.nonce), self._unb64("body", sealed.body)
        key = self._key(sealed.kdf)
        try:
            opened = AESGCM(key).decrypt(nonce, body, _associated(sealed.about, sealed.kdf, sealed.nonce))
        except (InvalidTag, ValueError):
            raise self._unopened(sealed, key) from None
        return sealed.about, opened

    def peek(self, kind: str) -> About:
        """Return what the file says it is, unauthenticated: only good for refusing early."""
        return self._parse(kind).about

    def write(self, about: About, body: Mapping[str, Any]) -> None:
        """Seal ``body`` and replace the file. The salt is kept with the file, so that others need no new scrypt."""
        kdf = self._parse(about.kind).kdf if self.exists() else _Kdf(salt=b64url(secrets.token_bytes(_SALT_SIZE)))
        raw_nonce = secrets.token_bytes(_NONCE_SIZE)
        nonce = b64url(raw_nonce)
        key = self._key(kdf)
        sealed = AESGCM(key).encrypt(raw_nonce, canonical(body), _associated(about, kdf, nonce))
        whole = _Sealed(about=about, kdf=kdf, nonce=nonce, body=b64url(sealed), check=_check(key))
        replace_durably(self.path, json.dumps(whole.model_dump(), indent=1).encode() + b"\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the file's lock (``<file>.lock``, advisory, between processes of this machine)."""
        try:
            handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._wrong("lock", error.strerror, "a folder that this process may write") from None
        try:
            keep_owner(handle, self.path)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _parse(self, kind: str) -> _Sealed:
        try:
            with self.path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                raw = file.read()
        except OSError as error:
            raise self._wrong("file", error.strerror, "a readable file (`verifier keys init` makes it)") from None
        if mode & 0o077:
            raise self._wrong("mode", oct(mode), "0o600: no other user reads or writes it")
        try:
            sealed = _Sealed.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(step) for step in first["loc"]) or "file"
            raise self._wrong(key, first["type"], first["msg"]) from None
        if sealed.about.kind != kind:
            raise self._wrong("about.kind", sealed.about.kind, kind)
        return sealed

    def _key(self, kdf: _Kdf) -> bytes:
        passphrase = read_passphrase(self._passphrase_file)
        source = sha256(canonical(kdf.model_dump()) + b"\x00" + passphrase)
        known = _DERIVED.get(source)
        if known is None:
            salt = self._unb64("kdf.salt", kdf.salt)
            known = Scrypt(salt=salt, length=_KEY_SIZE, n=kdf.n, r=kdf.r, p=kdf.p).derive(passphrase)
            _DERIVED[source] = known
        return known

    def _unopened(self, sealed: _Sealed, key: bytes) -> ConfigError:
        """Word why a seal does not open, as far as the file can tell."""
        if not sealed.check:
            want = "the passphrase that sealed it, and an unchanged file"
            return self._wrong("body", "a seal that does not open", want)
        if sealed.check != _check(key):
            want = f"the passphrase that sealed this file, and kdf unchanged; look at {self._passphrase_file}"
            return self._wrong("passphrase", "another passphrase", want)
        return self._wrong(
            "body", "a file that was changed or is damaged", "the file as it was written; restore it from a backup"
        )

    def _unb64(self, key: str, text: str) -> bytes:
        try:
            return unb64url(text)
        except ValueError:
            raise self._wrong(key, "other text", "base64url") from None

    def _wrong(self, key: str, got: object, want: str) -> ConfigError:
        return ConfigError(str(self.path), key, got, want)


def _check(key: bytes) -> str:
    """Return what tells this key from another. A guess costs a whole scrypt, as one at the seal does."""
    return b64url(hmac.digest(key, _CHECK_LABEL, "sha256")[:_CHECK_SIZE])


def _associated(about: About, kdf: _Kdf, nonce: str) -> bytes:
    return canonical({"about": about.model_dump(), "kdf": kdf.model_dump(), "nonce": nonce})
