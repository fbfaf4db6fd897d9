"""A kernel without any kernel: its IMA measurement list, every entry logged and extended, so that the list replays to ``register``.

Every fault is possible: template hashes of one's own, violations, signatures by any key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from verifier.tee.ima import layout
from verifier.tee.tcg.layout import HASHES_BY_NAME, SHA1, SHA256, HashAlgorithm, extend

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_HASH_CLASSES: dict[str, hashes.HashAlgorithm] = {
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


def spki(key: PrivateKey) -> bytes:
    """Return the DER SubjectPublicKeyInfo, as identities name a key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id_of(key: PrivateKey) -> bytes:
    """Return the last four bytes of the subjectKeyIdentifier that RFC 5280 derives from the key."""
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        bits = public.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    else:
        bits = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return hashlib.sha1(bits, usedforsecurity=False).digest()[-4:]


def sign_file(
    key: PrivateKey,
    digest: bytes,
    algorithm: str = "sha256",
    *,
    version: int = layout.SIG_VERSION,
    kind: int | None = None,
    key_id: bytes | None = None,
) -> bytes:
    """Sign a file's digest as evmctl does; version 3 signs the digest together with its type and algorithm."""
    number = next(n for n, known in layout.SIG_HASHES.items() if known.name == algorithm)
    usual = layout.SIG_IMA if version == layout.SIG_VERSION else layout.SIG_VERITY
    header = layout.FileSignature(usual if kind is None else kind, version, number, key_id or key_id_of(key), b"")
    signed = digest
    if version == layout.SIG_VERSION_FILE_ID:
        signed = hashlib.new(algorithm, layout.file_id(header, digest)).digest()
    chosen = Prehashed(_HASH_CLASSES[algorithm])
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed, padding.PKCS1v15(), chosen)
    else:
        signature = key.sign(signed, ec.ECDSA(chosen))
    return layout.encode_file_signature(replace(header, signature=signature))


class MeasurementList:
    """A list under construction. ``template_hash``: the algorithm of the logged template hashes."""

    def __init__(
        self,
        template: str = "ima-ng",
        *,
        template_hash: HashAlgorithm = SHA1,
        banks: tuple[HashAlgorithm, ...] = (SHA1, SHA256),
    ) -> None:
        self._template = template
        self._template_hash = template_hash
        self._entries: list[layout.Entry] = []
        self._values = {bank.name: bytes(bank.size) for bank in banks}

    def measure(
        self,
        path: bytes,
        digest: bytes,
        algorithm: str = "sha256",
        *,
        template: str = "",
        kind: str = "ima",
        fields: tuple[bytes, ...] | None = None,
    ) -> MeasurementList:
        """Measure a file by its digest. ``fields`` are the template's further ones, by default empty."""
        name = template or self._template
        usual = tuple(b"" for _ in layout.TEMPLATES[name])
        chosen = "sha1" if name == layout.OLD_TEMPLATE else algorithm
        entry = layout.Entry(
            template_hash=bytes(self._template_hash.size),
            template=name,
            algorithm=chosen,
            digest=digest,
            path=path,
            kind=kind if name in layout.TYPED_TEMPLATES else "",
            fields=usual if fields is None else fields,
        )
        return self.append(replace(entry, template_hash=self._template_hash.digest(layout.template_data(entry))))

    def file(self, path: bytes, content: bytes, **fields: str) -> MeasurementList:
        """Measure a file by its content."""
        return self.measure(path, hashlib.sha256(content).digest(), **fields)  # type: ignore[arg-type]

    def boot_aggregate(self, pcrs: Mapping[int, bytes], count: int = 10) -> MeasurementList:
        """Begin as a kernel with a TPM does: the SHA-256 of PCR 0 to 9 (0 to 7 before 5.8)."""
        return self.measure(layout.BOOT_AGGREGATE, hashlib.sha256(b"".join(pcrs[i] for i in range(count))).digest())

    def violation(self, path: bytes, algorithm: str = "sha256") -> MeasurementList:
        """Report a file that was written to while it was measured."""
        fields = tuple(b"" for _ in layout.TEMPLATES[self._template])
        zero = bytes(self._template_hash.size)
        kind = "ima" if self._template in layout.TYPED_TEMPLATES else ""
        return self.append(layout.Entry(zero, self._template, algorithm, layout.VIOLATION_DIGEST, path, kind, fields))

    def append(self, entry: layout.Entry) -> MeasurementList:
        """Log an entry as it stands, and extend what the kernel would."""
        self._entries.append(entry)
        for name, value in self._values.items():
            bank = HASHES_BY_NAME[name]
            self._values[name] = extend(bank, value, layout.extended_digest(entry, bank))
        return self

    @property
    def entries(self) -> tuple[layout.Entry, ...]:
        """What was logged so far."""
        return tuple(self._entries)

    @property
    def lines(self) -> tuple[bytes, ...]:
        """The lines of the list."""
        return tuple(layout.encode_entry(entry) for entry in self._entries)

    def to_bytes(self) -> bytes:
        """Return the list as the kernel prints it."""
        return b"".join(self.lines)

    def register(self, bank: HashAlgorithm = SHA256) -> bytes:
        """Return PCR 10 of a bank."""
        return self._values[bank.name]

    def extends(self, bank: HashAlgorithm = SHA256) -> tuple[bytes, ...]:
        """Return what a bank of a real TPM has to be extended with, in order."""
        return tuple(layout.extended_digest(entry, bank) for entry in self._entries)


def small_system(pcrs: Mapping[int, bytes], *, template: str = "ima-ng") -> MeasurementList:
    """Make the list of a small machine that booted with these PCRs; every path stands for its content."""
    found = MeasurementList(template).boot_aggregate(pcrs)
    for path in (
        b"/usr/lib/systemd/systemd",
        b"/usr/lib/ld-linux.so.2",
        b"/usr/bin/vault-attester",
        b"/usr/bin/my program",
    ):
        found.file(path, path)
    return found
