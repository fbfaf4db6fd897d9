"""What a trust owner writes about a machine's measured files: an allow-list that has to explain every entry (docs/tee/tpm2.md).

Closed: an entry is explained by its path with its digest, by its digest alone, by a signature of a listed key, or because its path
*may be anything*, which says nothing about it and is for logs and the like. Digests are SHA-256 or stronger.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from verifier.tee.ima.explain import load_key
from verifier.tee.values import Values

MAX_FILES, MAX_DIGESTS, MAX_CHOICES, MAX_KEYS, MAX_LOOSE, MAX_VIOLATIONS = 50_000, 100_000, 64, 16, 64, 1_000

_DIGEST = r"^(?:verity:)?(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$"
FileDigest = Annotated[str, Field(pattern=_DIGEST)]
Path = Annotated[str, Field(min_length=1, max_length=4112)]


class SigningKey(Values):
    """A key that signs files. ``spki``: DER SubjectPublicKeyInfo in hex (RSA of 2048 to 4096 bits, P-256 to P-521).

    ``key_id``: the last four bytes of the certificate's subjectKeyIdentifier, where that is not the one RFC 5280 derives.
    """

    spki: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){32,1024}$")]
    key_id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")] | None = None

    @field_validator("spki")
    @classmethod
    def _spki_is_a_usable_key(cls, value: str) -> str:
        if load_key(bytes.fromhex(value)) is None:
            raise ValueError(
                "spki: want DER SubjectPublicKeyInfo of RSA with 2048 to 4096 bits, or of P-256, P-384, P-521"
            )
        return value


class AnyContent(Values):
    """A path whose content is not judged: exact, or ending with ``/`` for all below. ``why`` is for the next reader."""

    path: Path
    why: Annotated[str, Field(min_length=1, max_length=256)]

    @field_validator("path")
    @classmethod
    def _path_is_somewhere(cls, value: str) -> str:
        if not value.startswith("/") or value == "/":
            raise ValueError(f"path: got {value!r}, want an absolute path, and not everything")
        return value


class MeasuredFile(Values):
    """A path, byte for byte as the list has it, and the digests that it may have."""

    path: Path
    digests: Annotated[tuple[FileDigest, ...], Field(min_length=1, max_length=MAX_CHOICES, strict=False)]


class ImaRules(Values):
    """All of a measurement list, up to the entry that the quote proves. At least one of ``files``, ``digests``, ``keys``.

    ``digests`` count under any path. ``max_violations``: violations may be counted, not named: no hash covers which file they were of.
    """

    files: Annotated[tuple[MeasuredFile, ...], Field(max_length=MAX_FILES, strict=False)] = ()
    digests: Annotated[tuple[FileDigest, ...], Field(max_length=MAX_DIGESTS, strict=False)] = ()
    keys: Annotated[tuple[SigningKey, ...], Field(max_length=MAX_KEYS, strict=False)] = ()
    may_be_anything: Annotated[tuple[AnyContent, ...], Field(max_length=MAX_LOOSE, strict=False)] = ()
    max_violations: Annotated[int, Field(ge=0, le=MAX_VIOLATIONS)] = 0

    @model_validator(mode="after")
    def _says_something(self) -> ImaRules:
        if not (self.files or self.digests or self.keys):
            raise ValueError("ima: got nothing to compare, want files, digests or keys")
        if len({file.path for file in self.files}) != len(self.files):
            raise ValueError("ima.files: got a path twice, want each once with all of its digests")
        return self
