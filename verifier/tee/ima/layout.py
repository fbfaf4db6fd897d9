"""IMA measurement entries: the templates, the bytes that are hashed, the line that the kernel prints. Both directions from one table.

Source: Linux, Documentation/security/IMA-templates.rst and Documentation/ABI/testing/ima_policy.
Decoding is in ``decode``; the writers stand here because the forged kernels write lists too.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from verifier.tee.tcg.layout import SHA1, SHA256, SHA384, SHA512, HashAlgorithm

PCR_IMA = 10
BOOT_AGGREGATE = b"boot_aggregate"
# What a violation's digest field holds: room for a SHA-1 digest, whatever the algorithm says.
VIOLATION_DIGEST = bytes(20)

FieldKind = Literal["sig", "buf", "d-modsig", "modsig"]

# What follows digest and path, by template. ``ima`` has a fixed layout, all others length-prefixed fields.
OLD_TEMPLATE = "ima"
TEMPLATES: Mapping[str, tuple[FieldKind, ...]] = MappingProxyType(
    {
        OLD_TEMPLATE: (),
        "ima-ng": (),
        "ima-ngv2": (),
        "ima-sig": ("sig",),
        "ima-sigv2": ("sig",),
        "ima-buf": ("buf",),
        "ima-modsig": ("sig", "d-modsig", "modsig"),
    }
)
# Templates whose digest says what was hashed: the file, or its fs-verity descriptor.
TYPED_TEMPLATES = frozenset(("ima-ngv2", "ima-sigv2"))
DIGEST_TYPES = frozenset(("ima", "verity"))

# Linux's names of hashes (crypto/hash_info.c) with their sizes.
DIGEST_SIZES: Mapping[str, int] = MappingProxyType(
    {
        "md5": 16, "sha1": 20, "rmd160": 20, "sha224": 28, "sha256": 32, "sha384": 48, "sha512": 64, "sm3": 32,
        "wp512": 64, "streebog256": 32, "streebog512": 64, "sha3-256": 32, "sha3-384": 48, "sha3-512": 64,
    }
)  # fmt: skip

# By the length of the template hash: which hash made it. SHA-1 in the file of that name, others in newer kernels' further files.
TEMPLATE_HASHES: Mapping[int, HashAlgorithm] = MappingProxyType({a.size: a for a in (SHA1, SHA256, SHA384, SHA512)})

_OLD_PATH_SIZE = 256  # IMA_EVENT_NAME_LEN_MAX and its NUL


@dataclass(frozen=True, slots=True)
class Entry:
    """One measurement, unverified.

    ``kind`` is "" except in typed templates. ``fields`` are the template's further ones, raw, empty where the kernel had none.
    ``template_hash`` is zero for a violation: a file that was written to while it was measured, whose entry no hash covers.
    """

    template_hash: bytes
    template: str
    algorithm: str
    digest: bytes
    path: bytes
    kind: str = ""
    fields: tuple[bytes, ...] = ()

    @property
    def is_violation(self) -> bool:
        """Whether the kernel reported that it could not say what was read."""
        return not any(self.template_hash)

    @property
    def named_digest(self) -> str:
        """The digest as reference values name it: ``sha256:…``, ``verity:sha256:…``."""
        return f"{'verity:' if self.kind == 'verity' else ''}{self.algorithm}:{self.digest.hex()}"


def template_data(entry: Entry) -> bytes:
    """Return the bytes whose hash is extended: each field as a little-endian length and its bytes; the old template has no lengths."""
    if entry.template == OLD_TEMPLATE:
        return entry.digest + entry.path.ljust(_OLD_PATH_SIZE, b"\x00")
    prefix = f"{entry.kind}:{entry.algorithm}" if entry.kind else entry.algorithm
    digest = prefix.encode("ascii") + b":\x00" + entry.digest
    return b"".join(struct.pack("<I", len(f)) + f for f in (digest, entry.path + b"\x00", *entry.fields))


def encode_entry(entry: Entry) -> bytes:
    """Write the entry's line as the kernel prints it; a field that is empty leaves its separating space."""
    digest = entry.digest.hex()
    if entry.template != OLD_TEMPLATE:
        digest = f"{entry.kind}:{entry.algorithm}:{digest}" if entry.kind else f"{entry.algorithm}:{digest}"
    texts = [_printed(kind, field) for kind, field in zip(TEMPLATES[entry.template], entry.fields, strict=True)]
    line = f"{PCR_IMA:2d} {entry.template_hash.hex()} {entry.template} {digest} ".encode("ascii") + entry.path
    return b" ".join((line, *texts)) + b"\n"


def _printed(kind: FieldKind, field: bytes) -> bytes:
    if kind != "d-modsig" or not field:
        return field.hex().encode("ascii")
    name, _, digest = field.partition(b":\x00")
    return name + b":" + digest.hex().encode("ascii")


def extended_digest(entry: Entry, algorithm: HashAlgorithm, data: bytes | None = None) -> bytes:
    """Return what a bank is extended with: the hash of the template data by the bank's algorithm, all ones for a violation.

    Kernels before 5.8 padded the SHA-1 template hash with zeros instead: see ``replay``.
    """
    if entry.is_violation:
        return b"\xff" * algorithm.size
    return algorithm.digest(template_data(entry) if data is None else data)


# Signatures in ``security.ima`` (Linux, security/integrity/integrity.h and digsig_asymmetric.c).
SIG_IMA, SIG_EVM_PORTABLE, SIG_VERITY = 0x03, 0x05, 0x06
SIG_VERSION, SIG_VERSION_FILE_ID = 2, 3
# enum hash_algo (include/uapi/linux/hash_info.h), those that a verdict may rest on.
SIG_HASHES: Mapping[int, HashAlgorithm] = MappingProxyType({4: SHA256, 5: SHA384, 6: SHA512})
SIG_HEADER = struct.Struct(">BBBIH")


@dataclass(frozen=True, slots=True)
class FileSignature:
    """struct signature_v2_hdr behind its type byte. ``key_id``: the last four bytes of the key's subjectKeyIdentifier."""

    type: int
    version: int
    hash: int
    key_id: bytes
    signature: bytes


def encode_file_signature(signature: FileSignature) -> bytes:
    """Write the extended attribute's bytes."""
    key_id = int.from_bytes(signature.key_id, "big")
    header = SIG_HEADER.pack(signature.type, signature.version, signature.hash, key_id, len(signature.signature))
    return header + signature.signature


def file_id(signature: FileSignature, digest: bytes) -> bytes:
    """Return struct ima_file_id, which version 3 signs in place of the digest: type, algorithm, digest."""
    return bytes((signature.type, signature.hash)) + digest
