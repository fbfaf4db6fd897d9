"""Bytes to records: the COSE_Sign1 and its payload, every limit of AWS's document checked. Proves nothing.

A payload key that is not known is kept by name and reported: AWS may add keys, and whatever stands there is signed. A key twice
is refused, so is the other kind of PCRs: a document is an enclave's or a NitroTPM's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from verifier.formats import cbor
from verifier.formats.cose import Sign1, decode_sign1
from verifier.formats.errors import MalformedEvidence
from verifier.formats.x509 import Certificate, parse_certificate
from verifier.tee.aws_nitro import layout

DECODE_ID: Final = "aws-nitro.decode.attestation"


@dataclass(frozen=True, slots=True)
class Document:
    """An attestation document, unverified. ``cabundle`` is root first, ``timestamp`` in milliseconds; absent and null are ``None``."""

    sign1: Sign1
    module_id: str
    digest: str
    timestamp: int
    pcrs: Mapping[int, bytes]
    certificate: Certificate
    cabundle: tuple[Certificate, ...]
    public_key: bytes | None = field(repr=False)
    user_data: bytes | None
    nonce: bytes | None
    unknown: tuple[str, ...]  # payload keys beside these, by name

    @property
    def chain(self) -> tuple[Certificate, ...]:
        """The chain, leaf first, as it came."""
        return self.certificate, *reversed(self.cabundle)

    @property
    def unmeasured(self) -> tuple[int, ...]:
        """Which of PCR0, 1 and 2 are all zero or not there."""
        return tuple(index for index in layout.IMAGE_PCRS if not any(self.pcrs.get(index, b"")))

    @property
    def is_debug(self) -> bool:
        """An enclave in debug mode: the parent reads its console, and nothing is measured."""
        return bool(self.unmeasured)


class _Payload:
    """The payload's map with readers for each kind of value; every refusal is under one check id."""

    __slots__ = ("_check_id", "_values", "_what")

    def __init__(self, payload: bytes, check_id: str, what: str) -> None:
        self._check_id = check_id
        self._what = what
        self._values = cbor.decode(payload, check_id, what, indefinite=True)
        if not isinstance(self._values, dict) or not all(isinstance(key, str) for key in self._values):
            raise self.fail("want a map with text keys")

    def fail(self, detail: str) -> MalformedEvidence:
        """Make the one exception of this reader."""
        return MalformedEvidence(self._check_id, f"{self._what}: {detail}")

    def names(self) -> tuple[str, ...]:
        """Return the keys in order."""
        return tuple(self._values)

    def _of(self, kind: type, key: str) -> Any:
        value = self._values.get(key)
        if type(value) is not kind:  # ``bool`` is an ``int``
            raise self.fail(f"{key}: got {type(value).__name__}, want {kind.__name__}")
        return value

    def text(self, key: str, most: int) -> str:
        """Read a text of 1 to ``most`` characters."""
        value: str = self._of(str, key)
        if not 1 <= len(value) <= most:
            raise self.fail(f"{key}: got {len(value)} characters, want 1 to {most}")
        return value

    def number(self, key: str, most: int) -> int:
        """Read an integer from 1 to ``most``."""
        value: int = self._of(int, key)
        if not 1 <= value <= most:
            raise self.fail(f"{key}: got {value}, want 1 to {most}")
        return value

    def _sized(self, value: Any, where: str, least: int, most: int) -> bytes:
        if not isinstance(value, bytes) or not least <= len(value) <= most:
            got = f"{len(value)} bytes" if isinstance(value, bytes) else type(value).__name__
            raise self.fail(f"{where}: got {got}, want {least} to {most} bytes")
        return value

    def optional(self, key: str, least: int, most: int) -> bytes | None:
        """Read bytes; ``None`` where the key is absent or null."""
        value = self._values.get(key)
        return None if value is None else self._sized(value, key, least, most)

    def certificate(self, key: str) -> Certificate:
        """Read a certificate."""
        return self._certificate(self._values.get(key), key)

    def _certificate(self, value: Any, where: str) -> Certificate:
        der = self._sized(value, where, 1, layout.MAX_CERTIFICATE)
        return parse_certificate(der, self._check_id, f"{self._what}.{where}")

    def certificates(self, key: str) -> tuple[Certificate, ...]:
        """Read an array of certificates."""
        value: list[Any] = self._of(list, key)
        if not 1 <= len(value) <= layout.MAX_CABUNDLE:
            raise self.fail(f"{key}: got {len(value)} certificates, want 1 to {layout.MAX_CABUNDLE}")
        return tuple(self._certificate(der, f"{key}[{place}]") for place, der in enumerate(value))

    def pcrs(self, key: str, count: int, *, every: bool) -> Mapping[int, bytes]:
        """Read PCRs: indexes below ``count``, at least one of them or ``every`` one, each of SHA-384's size."""
        value: dict[Any, Any] = self._of(dict, key)
        least = count if every else 1
        if not least <= len(value) <= count:
            raise self.fail(f"{key}: got {len(value)} PCRs, want {least} to {count}")
        for index, pcr in value.items():
            if type(index) is not int or not 0 <= index < count:
                raise self.fail(f"{key}: got index {index!r:.40}, want 0 to {count - 1}")
            self._sized(pcr, f"{key}.{index}", layout.PCR_SIZE, layout.PCR_SIZE)
        return MappingProxyType(dict(sorted(value.items())))


def decode_document(data: bytes, *, check_id: str = DECODE_ID, is_nitrotpm: bool = False) -> Document:
    """Read a document of an enclave, or of a NitroTPM. Raises ``MalformedEvidence(check_id)``."""
    what = layout.PART
    if len(data) > layout.MAX_SIZE:
        raise MalformedEvidence(check_id, f"{what}: got {len(data)} bytes, want at most {layout.MAX_SIZE}")
    sign1 = decode_sign1(data, check_id, what)
    payload = _Payload(sign1.payload, check_id, f"{what}.payload")
    own, other = layout.PCRS, layout.NITROTPM_PCRS
    if is_nitrotpm:
        own, other = other, own
    names = payload.names()
    if other in names:
        raise payload.fail(f"got {other}, want {own}: it is another kind of document")
    if payload.text(layout.DIGEST, layout.MAX_MODULE_ID) != layout.DIGEST_NAME:
        raise payload.fail(f"digest: got another algorithm, want {layout.DIGEST_NAME}")
    count = layout.NITROTPM_PCRS_COUNT if is_nitrotpm else layout.ENCLAVE_PCRS
    return Document(
        sign1=sign1,
        module_id=payload.text(layout.MODULE_ID, layout.MAX_MODULE_ID),
        digest=layout.DIGEST_NAME,
        timestamp=payload.number(layout.TIMESTAMP, layout.MAX_TIMESTAMP),
        pcrs=payload.pcrs(own, count, every=is_nitrotpm),
        certificate=payload.certificate(layout.CERTIFICATE),
        cabundle=payload.certificates(layout.CABUNDLE),
        public_key=payload.optional(layout.PUBLIC_KEY, 1, layout.MAX_PUBLIC_KEY),
        user_data=payload.optional(layout.USER_DATA, 0, layout.MAX_USER_DATA),
        nonce=payload.optional(layout.NONCE, 0, layout.MAX_NONCE),
        unknown=tuple(name for name in names if name not in {*layout.FIELDS, own}),
    )


def decode(parts: Mapping[str, bytes]) -> Document:
    """Decode ``attestation``."""
    return decode_document(parts[layout.PART])


def encode(document: Document) -> dict[str, bytes]:
    """Return the bytes as they were kept: CBOR has more than one form, and the signature is over the one that came."""
    return {layout.PART: document.sign1.raw}
