"""Does the allow-list explain every entry? Linear in the list; a signature is tried with the keys of its key id alone. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from verifier.formats.ecdsa import verifies
from verifier.formats.errors import MalformedEvidence
from verifier.tee.ima.decode import decode_file_signature
from verifier.tee.ima.layout import (
    SIG_HASHES,
    SIG_IMA,
    SIG_VERITY,
    SIG_VERSION,
    SIG_VERSION_FILE_ID,
    TEMPLATES,
    Entry,
    FileSignature,
    file_id,
)
from verifier.tee.ima.replay import is_boot_aggregate
from verifier.tee.tcg.layout import SHA256, SHA384, SHA512

Key = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

RSA_BITS = (2048, 4096)
_CURVES = frozenset(("secp256r1", "secp384r1", "secp521r1"))
_HASH_CLASSES: Mapping[str, hashes.HashAlgorithm] = {
    SHA256.name: hashes.SHA256(),
    SHA384.name: hashes.SHA384(),
    SHA512.name: hashes.SHA512(),
}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Explained:
    """What became of a list. ``detail`` is empty where everything is explained; the counts are how."""

    detail: str
    counts: Mapping[str, int]


@dataclass(slots=True)
class _Count:
    listed: int = 0
    signed: int = 0
    anything: int = 0
    violations: int = 0
    unexplained: list[str] = field(default_factory=list)
    unexplained_count: int = 0


class _AllowList:
    """The rules of ``reference.ImaRules`` in JSON form, made ready for many entries."""

    def __init__(self, expected: Mapping[str, Any], aggregates: frozenset[str]) -> None:
        self.files: Mapping[bytes, Sequence[str]] = {
            item["path"].encode(): item["digests"] for item in expected.get("files") or ()
        }
        self.digests = frozenset(expected.get("digests") or ())
        self.aggregates = aggregates
        self.keys = _keys(expected.get("keys") or ())
        loose = [item["path"].encode() for item in expected.get("may_be_anything") or ()]
        self.exact = frozenset(path for path in loose if not path.endswith(b"/"))
        self.below = tuple(path for path in loose if path.endswith(b"/"))

    def lists(self, entry: Entry) -> bool:
        digest = entry.named_digest
        if digest in self.digests or (is_boot_aggregate(entry) and digest in self.aggregates):
            return True
        return digest in self.files.get(entry.path, ())

    def signs(self, entry: Entry) -> bool:
        signature = _signature_of(entry)
        if signature is None or not self.keys:
            return False
        return any(is_signed_by(key, entry, signature) for key in self.keys.get(signature.key_id, ()))

    def lets_pass(self, entry: Entry) -> bool:
        return entry.path in self.exact or any(entry.path.startswith(prefix) for prefix in self.below)


def explain(entries: Iterable[Entry], expected: Any, *, aggregates: frozenset[bytes] = frozenset()) -> Explained:
    """Judge entries, all of which the caller has compared with a quoted register, by rules in JSON form. Total.

    ``aggregates``: what ``boot_aggregate`` has to be, SHA-256, by the quote's own PCRs; without them it has to be listed.
    """
    if not isinstance(expected, Mapping) or not any(expected.get(name) for name in ("files", "digests", "keys")):
        return Explained("IMA rules: got nothing to compare", {})
    allowed = _AllowList(expected, frozenset(f"{SHA256.name}:{digest.hex()}" for digest in aggregates))
    count, total = _Count(), 0
    for number, entry in enumerate(entries):
        total += 1
        _explain_one(number, entry, allowed, count)
    most = expected.get("max_violations") or 0
    counts = {
        "entries": total,
        "listed": count.listed,
        "signed": count.signed,
        "anything": count.anything,
        "violations": count.violations,
        "unexplained": count.unexplained_count,
    }
    return Explained(_detail(count, total, most), counts)


def _explain_one(number: int, entry: Entry, allowed: _AllowList, count: _Count) -> None:
    if entry.is_violation:
        count.violations += 1
    elif allowed.lists(entry):
        count.listed += 1
    elif allowed.signs(entry):
        count.signed += 1
    elif allowed.lets_pass(entry):
        count.anything += 1
    else:
        count.unexplained_count += 1
        if len(count.unexplained) < _SHOWN:
            path = entry.path.decode("utf-8", "backslashreplace")
            count.unexplained.append(f"entry {number} ({path}, {entry.named_digest})")


def _detail(count: _Count, total: int, max_violations: int) -> str:
    if not total:
        return "IMA list: got no entries, want some"
    if count.unexplained_count:
        more = count.unexplained_count - len(count.unexplained)
        return f"unexplained: {'; '.join(count.unexplained)}{f'; and {more} more' if more else ''}"
    if count.violations > max_violations:
        return f"violations: got {count.violations}, want at most {max_violations}"
    return ""


def _signature_of(entry: Entry) -> FileSignature | None:
    kinds = TEMPLATES[entry.template]
    if "sig" not in kinds or not (raw := entry.fields[kinds.index("sig")]):
        return None
    try:
        return decode_file_signature(raw)
    except MalformedEvidence:
        return None  # what cannot be read explains nothing


def is_signed_by(key: Key, entry: Entry, signature: FileSignature) -> bool:
    """Tell whether the signature is the key's over this entry's digest.

    Version 2 signs the digest itself, version 3 the digest with its type and algorithm. The header's algorithm has to be the
    digest's own, SHA-256 or stronger. EVM signatures (type 5) are over metadata and prove no content.
    """
    algorithm = SIG_HASHES.get(signature.hash)
    if algorithm is None or algorithm.name != entry.algorithm:
        return False
    is_verity = entry.kind == "verity"
    if (signature.type, signature.version) == (SIG_IMA, SIG_VERSION) and not is_verity:
        signed = entry.digest
    elif (signature.type, signature.version) == (SIG_VERITY, SIG_VERSION_FILE_ID) and is_verity:
        signed = algorithm.digest(file_id(signature, entry.digest))
    else:
        return False
    chosen = Prehashed(_HASH_CLASSES[algorithm.name])
    how = (padding.PKCS1v15(), chosen) if isinstance(key, rsa.RSAPublicKey) else (ec.ECDSA(chosen),)
    return verifies(key, signature.signature, signed, *how)


def _keys(items: Iterable[Mapping[str, Any]]) -> Mapping[bytes, tuple[Key, ...]]:
    """Return the listed keys by key id; one that cannot be used is none."""
    found: dict[bytes, tuple[Key, ...]] = {}
    for item in items:
        key = load_key(bytes.fromhex(item["spki"]))
        if key is None:
            continue
        stated = item.get("key_id")
        name = bytes.fromhex(stated) if stated else key_id(key)
        found[name] = (*found.get(name, ()), key)
    return found


def load_key(spki: bytes) -> Key | None:
    """Read a SubjectPublicKeyInfo of a kind that may sign files, ``None`` for any other."""
    try:
        key = load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        return key
    return key if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES else None


def key_id(key: Key) -> bytes:
    """Return the last four bytes of the subjectKeyIdentifier that RFC 5280 (4.2.1.2, method 1) derives from the key."""
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hashlib.sha1(bits, usedforsecurity=False).digest()[-4:]
