"""MRTD of a trust domain from its virtual firmware (TDVF: OVMF with Intel's metadata). Pure.

MRTD is SHA-384 over what the TDX module is told while the TD is built: for every page TDH.MEM.PAGE.ADD with its address, and for
every 256 bytes of a measured page TDH.MR.EXTEND with the address and the bytes. Which pages, and which are measured, the firmware's
own metadata say; the order is the host's: Linux and QEMU as they are upstream add and measure page by page (``page``), older stacks
added a whole section and measured it then (``section``).

Not covered: hosts that measure more than the metadata ask for (a TD HOB; early Google), or that load the firmware otherwise.
Shape: a GUIDed table ends 32 bytes before the firmware's end; its entry e47a6535-984a-4798-865e-4685a7bf8ec2 holds the distance of
the descriptor from the end (u32); descriptor: "TDVF", length, version 1, number of sections (u32 each, little-endian), then
sections of 32 bytes: offset and size in the file (u32), address and size in memory (u64), type, attributes (u32; bit 0: measured,
bit 1: added later, by PAGE.AUG, and not part of MRTD).
Source: Intel TDX Module 1.5 base architecture specification (348549), "MRTD: Build-Time Measurement Register", TDH.MEM.PAGE.ADD and
TDH.MR.EXTEND in the ABI specification (348551); Intel TDX Virtual Firmware Design Guide (344991), section 11.
Raises ``MalformedEvidence("identity.artifact.tdvf")``.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from verifier.core.ids import ArtifactId
from verifier.formats.errors import MalformedEvidence

MAX_FIRMWARE: Final = 64 * 1024 * 1024
PageOrder = Literal["page", "section"]

_FOOTER: Final = uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le
_METADATA: Final = uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le
_BEHIND_TABLE: Final = 32
_ENTRY: Final = struct.Struct("<H16s")
_DESCRIPTOR: Final = struct.Struct("<4sIII")
_SECTION: Final = struct.Struct("<IIQQII")
_MAX_SECTIONS: Final = 64
_MAX_PAGES: Final = 1 << 18  # 1 GiB of pages that are added at the start
_PAGE: Final = 4096
_CHUNK: Final = 256
_MEASURED, _ADDED_LATER = 1, 2
_KNOWN_ATTRIBUTES: Final = _MEASURED | _ADDED_LATER
_ADDRESSES: Final = 1 << 52


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the metadata: where it stands in the file and in memory, and whether its bytes are measured."""

    offset: int
    size: int
    address: int
    memory_size: int
    kind: int
    attributes: int


def decode_tdvf(firmware: bytes) -> tuple[Section, ...]:
    """Read the metadata strictly."""
    if not _BEHIND_TABLE + _ENTRY.size <= len(firmware) <= MAX_FIRMWARE:
        raise _bad("size", f"{len(firmware)} bytes", f"{_BEHIND_TABLE + _ENTRY.size} to {MAX_FIRMWARE}")
    (distance,) = struct.unpack("<I", _metadata_entry(firmware))
    start = len(firmware) - distance
    if distance > len(firmware) or distance < _DESCRIPTOR.size:
        raise _bad("metadata", f"{distance} bytes before the end", f"{_DESCRIPTOR.size} to {len(firmware)}")
    signature, length, version, count = _DESCRIPTOR.unpack_from(firmware, start)
    if signature != b"TDVF" or version != 1:
        raise _bad("descriptor", f"{signature!r} version {version}", "TDVF version 1")
    if not 1 <= count <= _MAX_SECTIONS or length != _DESCRIPTOR.size + count * _SECTION.size or length > distance:
        raise _bad(
            "descriptor", f"{count} sections in {length} bytes", f"1 to {_MAX_SECTIONS} of {_SECTION.size} bytes"
        )
    places = (start + _DESCRIPTOR.size + index * _SECTION.size for index in range(count))
    sections = tuple(Section(*_SECTION.unpack_from(firmware, place)) for place in places)
    for index, section in enumerate(sections):
        _check_section(index, section, len(firmware))
    if sum(section.memory_size for section in sections if _is_added(section)) > _MAX_PAGES * _PAGE:
        raise _bad("sections", "more pages", f"at most {_MAX_PAGES} that are added at the start")
    return sections


def mrtd_of(firmware: bytes, order: PageOrder = "page") -> bytes:
    """Return the MRTD of a TD that starts with this firmware."""
    digest = hashlib.sha384()
    for section in decode_tdvf(firmware):
        pages = range(section.address, section.address + section.memory_size, _PAGE) if _is_added(section) else ()
        if order == "section":
            for address in pages:
                digest.update(_buffer(b"MEM.PAGE.ADD", address))
        for address in pages:
            if order == "page":
                digest.update(_buffer(b"MEM.PAGE.ADD", address))
            for piece in _extends(firmware, section, address):
                digest.update(piece)
    return digest.digest()


def _is_added(section: Section) -> bool:
    return not section.attributes & _ADDED_LATER


def _extends(firmware: bytes, section: Section, address: int) -> Iterator[bytes]:
    if not section.attributes & _MEASURED:
        return
    start = section.offset + address - section.address
    for within in range(0, _PAGE, _CHUNK):
        yield _buffer(b"MR.EXTEND", address + within)
        yield firmware[start + within : start + within + _CHUNK]


def _buffer(name: bytes, address: int) -> bytes:
    """128 bytes: the operation's name, at 16 the guest-physical address, zero elsewhere."""
    return name.ljust(16, b"\x00") + struct.pack("<Q", address) + bytes(104)


def _metadata_entry(firmware: bytes) -> bytes:
    """Find the entry in the GUIDed table, which is read backwards: data, then length (of all three) and GUID."""
    end = len(firmware) - _BEHIND_TABLE
    size, guid = _ENTRY.unpack_from(firmware, end - _ENTRY.size)
    if guid != _FOOTER or not _ENTRY.size <= size <= end:
        raise _bad("table", "no footer 32 bytes before the end", "OVMF's table of GUIDs")
    first, position = end - size, end - _ENTRY.size
    while position - first >= _ENTRY.size:
        size, guid = _ENTRY.unpack_from(firmware, position - _ENTRY.size)
        if not _ENTRY.size <= size <= position - first:
            raise _bad("table", f"an entry of {size} bytes", f"{_ENTRY.size} to {position - first}")
        if guid == _METADATA:
            data = firmware[position - size : position - _ENTRY.size]
            if len(data) != 4:  # noqa: PLR2004 - a u32
                raise _bad("table", f"{len(data)} bytes of metadata offset", "4")
            return data
        position -= size
    raise _bad("table", "no entry of TDX metadata", "firmware that is built for TDX")


def _check_section(index: int, section: Section, length: int) -> None:
    where = f"section {index}"
    if section.attributes & ~_KNOWN_ATTRIBUTES or section.attributes == _KNOWN_ATTRIBUTES:
        raise _bad(where, f"attributes {section.attributes:#x}", "measured (1), added later (2), or none")
    if section.address % _PAGE or section.memory_size % _PAGE:
        raise _bad(where, f"{section.memory_size:#x} bytes at {section.address:#x}", "whole pages")
    if section.address + section.memory_size > _ADDRESSES:
        raise _bad(where, f"end at {section.address + section.memory_size:#x}", f"at most {_ADDRESSES:#x}")
    if section.offset + section.size > length or section.size > section.memory_size:
        raise _bad(
            where, f"{section.size} bytes at {section.offset} of the file", "bytes of the file, no more than in memory"
        )
    if section.attributes & _MEASURED and section.size != section.memory_size:
        raise _bad(where, f"{section.size} bytes for {section.memory_size} that are measured", "as many")


def _bad(field: str, got: object, want: str) -> MalformedEvidence:
    return MalformedEvidence(ArtifactId.TDVF, f"TDVF {field}: got {got}, want {want}")
