"""The instance identity that Google writes into a vTPM's AK certificate, both directions.

Extension 1.3.6.1.4.1.11129.2.1.21: SEQUENCE {zone UTF8String, project number INTEGER, project id UTF8String, instance id INTEGER,
instance name UTF8String, [0] EXPLICIT SEQUENCE {[0] security version INTEGER, [1] is production BOOLEAN, further ones} OPTIONAL}.
Source: google/go-tpm-tools ``server/instance_info.go`` and certificates of both hierarchies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.formats.x509 import der_tlv

OID_INSTANCE: Final = "1.3.6.1.4.1.11129.2.1.21"
# Names for the bins of the composite's rules.
FIELDS: Final = tuple(
    f"ak.{name}"
    for name in (
        "public", "zone", "project_number", "project_id", "instance_id", "instance_name", "security_version",
        "is_production", "further",
    )
)  # fmt: skip
_SEQUENCE, _UTF8, _INTEGER, _BOOLEAN, _TAG0 = 0x30, 0x0C, 0x02, 0x01, 0xA0
_LONG_FORM, _MAX_LENGTH_OCTETS = 0x80, 2
_MAX_TEXT: Final = 256
_MAX_INTEGER: Final = 9  # octets: 64 bits unsigned
_MAX_PROPERTIES: Final = 16
_TRUE, _FALSE = b"\xff", b"\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """Which machine a certificate is of, as Google says. ``further``: security properties unknown here, (tag, DER value)."""

    zone: str
    project_number: int
    project_id: str
    instance_id: int
    instance_name: str
    security_version: int | None = None
    is_production: bool | None = None
    further: tuple[tuple[int, bytes], ...] = ()


def _element(reader: Reader, field: str) -> tuple[int, bytes]:
    """Read one DER element with a single-byte tag and at most 64 KiB."""
    tag = reader.u8(f"{field}.tag")
    size = reader.u8(f"{field}.length")
    if size >= _LONG_FORM:
        octets = size - _LONG_FORM
        if not 1 <= octets <= _MAX_LENGTH_OCTETS:
            raise reader.fail(f"{field}.length: got {octets} octets, want 1 or 2")
        size = int.from_bytes(reader.take(octets, f"{field}.length"), "big")
        if size < _LONG_FORM or (octets > 1 and size < 1 << 8):
            raise reader.fail(f"{field}.length: not in its shortest form")
    return tag, reader.take(size, field)


def _expect(reader: Reader, tag: int, field: str) -> bytes:
    got, value = _element(reader, field)
    if got != tag:
        raise reader.fail(f"{field}: got tag {got:#04x}, want {tag:#04x}")
    return value


def _text(reader: Reader, field: str) -> str:
    raw = _expect(reader, _UTF8, field)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise reader.fail(f"{field}: not UTF-8") from None
    if not text or len(raw) > _MAX_TEXT or not text.isprintable():
        raise reader.fail(f"{field}: want 1 to {_MAX_TEXT} bytes of printable text")
    return text


def _unsigned(raw: bytes, reader: Reader, field: str) -> int:
    minimal = len(raw) == 1 or (len(raw) > 1 and not (raw[0] == 0 and not raw[1] & 0x80))
    if not raw or len(raw) > _MAX_INTEGER or raw[0] & 0x80 or not minimal:
        raise reader.fail(f"{field}: want an INTEGER of 0 or more in at most 64 bits")
    return int.from_bytes(raw, "big")


def decode_instance(data: bytes, check_id: str) -> Instance:
    """Read an instance identity; ``MalformedEvidence(check_id)`` for anything else. DER, so it encodes back to the same bytes."""
    outer = Reader(data, check_id, "instance identity")
    reader = Reader(_expect(outer, _SEQUENCE, "identity"), check_id, "instance identity")
    outer.end()
    zone = _text(reader, "zone")
    number = _unsigned(_expect(reader, _INTEGER, "project number"), reader, "project number")
    project = _text(reader, "project id")
    instance = _unsigned(_expect(reader, _INTEGER, "instance id"), reader, "instance id")
    name = _text(reader, "instance name")
    found = {}
    if reader.remaining:
        wrapped = Reader(_expect(reader, _TAG0, "security properties"), check_id, "security properties")
        found = _properties(_expect(wrapped, _SEQUENCE, "security properties"), check_id)
        wrapped.end()
        if not found:
            raise reader.fail("security properties: got none inside, want at least one")
    reader.end()
    version, production = found.pop(_TAG0, None), found.pop(_TAG0 + 1, None)
    read = Instance(
        zone=zone,
        project_number=number,
        project_id=project,
        instance_id=instance,
        instance_name=name,
        security_version=None if version is None else _security_version(version, check_id),
        is_production=None if production is None else _is_true(production, check_id),
        further=tuple(found.items()),
    )
    if encode_instance(read) != data:
        raise MalformedEvidence(check_id, "instance identity: not DER")
    return read


def _properties(data: bytes, check_id: str) -> dict[int, bytes]:
    reader = Reader(data, check_id, "security properties")
    found: dict[int, bytes] = {}
    while reader.remaining:
        tag, value = _element(reader, "property")
        if not _TAG0 <= tag < _TAG0 + _MAX_PROPERTIES or tag <= max(found, default=0):
            raise reader.fail(f"property: got tag {tag:#04x}, want context tags in ascending order")
        found[tag] = value
    return found


def _security_version(value: bytes, check_id: str) -> int:
    reader = Reader(value, check_id, "security version")
    version = _unsigned(_expect(reader, _INTEGER, "security version"), reader, "security version")
    reader.end()
    return version


def _is_true(value: bytes, check_id: str) -> bool:
    reader = Reader(value, check_id, "is production")
    raw = _expect(reader, _BOOLEAN, "is production")
    reader.end()
    if raw not in (_TRUE, _FALSE):
        raise reader.fail("is production: want a BOOLEAN")
    return raw == _TRUE


def _write_integer(value: int) -> bytes:
    return der_tlv(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encode_instance(instance: Instance) -> bytes:
    """Write an instance identity; the inverse of ``decode_instance``."""
    properties = b""
    if instance.security_version is not None:
        properties += der_tlv(_TAG0, _write_integer(instance.security_version))
    if instance.is_production is not None:
        properties += der_tlv(_TAG0 + 1, der_tlv(_BOOLEAN, _TRUE if instance.is_production else _FALSE))
    properties += b"".join(der_tlv(tag, value) for tag, value in instance.further)
    return der_tlv(
        _SEQUENCE,
        der_tlv(_UTF8, instance.zone.encode())
        + _write_integer(instance.project_number)
        + der_tlv(_UTF8, instance.project_id.encode())
        + _write_integer(instance.instance_id)
        + der_tlv(_UTF8, instance.instance_name.encode())
        + (der_tlv(_TAG0, der_tlv(_SEQUENCE, properties)) if properties else b""),
    )
