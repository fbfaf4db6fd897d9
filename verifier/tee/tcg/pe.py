"""PE images as firmware measures them: sections, and the Authenticode digest. Raises ``MalformedEvidence(IMAGE)`` and nothing else.

Read are the headers that the digest and the sections depend on; nothing is executed, relocated or believed. No image is evidence:
this is for computing reference values from artifacts. Source: Microsoft PE Format (sections "MS-DOS stub" to "Section table"),
*Windows Authenticode Portable Executable Signature Format* 1.0, "Calculating the PE image hash"; TCG PC Client Platform Firmware
Profile 1.06, section 2.3.4.5 (PCR 4 holds that digest, in each bank by the bank's hash).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from verifier.core.ids import ArtifactId
from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.tee.tcg.layout import HashAlgorithm

MAX_IMAGE = 1 << 30
MAX_SECTIONS = 96  # the PE format's own limit for images
# What a section may have in memory beyond its bytes in the file: such zeros are measured too.
MAX_ZEROS = 256 * 1024 * 1024
_CHUNK = 1 << 20

_DOS_HEADER, _NEW_HEADER_AT = 64, 0x3C
_PE32, _PE32_PLUS = 0x10B, 0x20B
_CHECKSUM_AT = 64  # in the optional header, of either form
_DIRECTORIES_AT = {_PE32: 96, _PE32_PLUS: 112}
_MAX_DIRECTORIES = 16
_SECURITY_DIRECTORY = 4
_SECTION_SIZE = 40
_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the section table. ``raw_*`` are in the file, ``virtual_*`` in memory; sizes and offsets in bytes."""

    name: str
    virtual_size: int
    virtual_address: int
    raw_size: int
    raw_offset: int

    @property
    def file_size(self) -> int:
        """Bytes of the file that are its content: the rest of ``raw_size`` is alignment, of ``virtual_size`` zeros."""
        return min(self.raw_size, self.virtual_size)


@dataclass(frozen=True, slots=True)
class Image:
    """A PE image: what its Authenticode digest leaves out, and its sections in the order of their table."""

    data: bytes
    headers_size: int
    checksum_at: int
    security_entry_at: int  # 0 where the image has no such directory entry
    certificates: tuple[int, int]  # offset and size of the attribute certificate table, (0, 0) without one
    sections: tuple[Section, ...]


def is_image(data: bytes) -> bool:
    """Tell whether the bytes call themselves a PE image at all (a kernel may be a bare one)."""
    at = int.from_bytes(data[_NEW_HEADER_AT : _NEW_HEADER_AT + 4], "little")
    return data[:2] == b"MZ" and data[at : at + 4] == b"PE\x00\x00"


def decode_image(data: bytes) -> Image:
    """Read headers and section table; every range has to lie in the file, and no two sections may share bytes of it."""
    if len(data) > MAX_IMAGE:
        raise MalformedEvidence(ArtifactId.UKI, f"PE image: got {len(data)} bytes, want at most {MAX_IMAGE}")
    reader = Reader(data, ArtifactId.UKI, "PE image")
    if reader.take(2, "DOS magic") != b"MZ":
        raise reader.fail("DOS magic: want MZ")
    reader.take(_NEW_HEADER_AT - 2, "DOS header")
    start = reader.u32le("e_lfanew")
    if start < _DOS_HEADER:
        raise reader.fail(f"e_lfanew: got {start}, want at least {_DOS_HEADER}")
    reader.take(start - reader.position, "DOS stub")
    if reader.take(4, "PE magic") != b"PE\x00\x00":
        raise reader.fail("PE magic: want PE and two zeros")
    reader.u16le("Machine")
    count = reader.u16le("NumberOfSections")
    if not 1 <= count <= MAX_SECTIONS:
        raise reader.fail(f"NumberOfSections: got {count}, want 1 to {MAX_SECTIONS}")
    reader.take(12, "COFF header")
    optional_size = reader.u16le("SizeOfOptionalHeader")
    reader.u16le("Characteristics")
    optional_at = reader.position
    headers_size, security_entry_at, certificates = _optional_header(reader, optional_size, len(data))
    sections = tuple(_section(reader, len(data)) for _ in range(count))
    if not reader.position <= headers_size <= len(data):
        raise reader.fail(f"SizeOfHeaders: got {headers_size}, want {reader.position} to {len(data)}")
    _require_apart(reader, sections, headers_size, certificates)
    return Image(data, headers_size, optional_at + _CHECKSUM_AT, security_entry_at, certificates, sections)


def _optional_header(reader: Reader, size: int, length: int) -> tuple[int, int, tuple[int, int]]:
    """Read PE32 or PE32+: SizeOfHeaders, where the security entry stands, and what it says."""
    start = reader.position
    header = Reader(reader.take(size, "optional header"), ArtifactId.UKI, "PE optional header")
    magic = header.u16le("Magic")
    directories_at = _DIRECTORIES_AT.get(magic)
    if directories_at is None:
        raise reader.fail(f"Magic: got {magic:#06x}, want PE32 or PE32+")
    header.take(60 - header.position, "fields")
    headers_size = header.u32le("SizeOfHeaders")
    header.take(directories_at - 4 - header.position, "fields")
    count = header.u32le("NumberOfRvaAndSizes")
    if count > _MAX_DIRECTORIES or header.remaining < 8 * count:
        raise reader.fail(f"NumberOfRvaAndSizes: got {count}, want at most 16 and that the header holds them")
    if count <= _SECURITY_DIRECTORY:
        return headers_size, 0, (0, 0)
    header.take(8 * _SECURITY_DIRECTORY, "directories")
    offset, table_size = header.u32le("security offset"), header.u32le("security size")
    if table_size and (offset % _ALIGNMENT or offset + table_size != length):
        # Authenticode wants it last; bytes behind it are what signatures have been smuggled in.
        raise reader.fail(f"certificate table: got {table_size} bytes at {offset}, want it aligned and at the end")
    entry_at = start + directories_at + 8 * _SECURITY_DIRECTORY
    return headers_size, entry_at, (offset, table_size) if table_size else (0, 0)


def _section(reader: Reader, length: int) -> Section:
    raw_name = reader.take(8, "section name").rstrip(b"\x00")
    if not raw_name.isascii() or b"\x00" in raw_name:
        raise reader.fail(f"section name: got {raw_name!r}, want ASCII")
    virtual_size, virtual_address = reader.u32le("VirtualSize"), reader.u32le("VirtualAddress")
    raw_size, raw_offset = reader.u32le("SizeOfRawData"), reader.u32le("PointerToRawData")
    reader.take(_SECTION_SIZE - 24, "section entry")
    section = Section(raw_name.decode("ascii"), virtual_size, virtual_address, raw_size, raw_offset)
    if raw_size and raw_offset + raw_size > length:
        raise reader.fail(f"section {section.name}: got bytes up to {raw_offset + raw_size}, want at most {length}")
    return section


def _require_apart(
    reader: Reader, sections: tuple[Section, ...], headers_size: int, certificates: tuple[int, int]
) -> None:
    """Refuse sections that share bytes with each other, with the headers or with the signatures: two readers, two digests."""
    taken = [(0, headers_size)] + [(s.raw_offset, s.raw_offset + s.raw_size) for s in sections if s.raw_size]
    if certificates[1]:
        taken.append((certificates[0], sum(certificates)))
    for (_, end), (start, _) in pairwise(sorted(taken)):
        if start < end:
            raise reader.fail(f"sections: got two ranges that share byte {start}, want them apart")


def authenticode(image: Image, algorithm: HashAlgorithm) -> bytes:
    """Hash the image as Authenticode does: without checksum, security entry and certificate table.

    Headers, then sections by their place in the file, then what stands behind the sum of those bytes. No padding to 8 bytes is
    added: a signing tool that pads writes the padding into the file, where it is measured.
    """
    view = memoryview(image.data)
    skipped = [(image.checksum_at, 4)]
    if image.security_entry_at:
        skipped.append((image.security_entry_at, 8))
    parts: list[memoryview] = []
    position = 0
    for start, size in skipped:
        parts.append(view[position:start])
        position = start + size
    parts.append(view[position : image.headers_size])
    hashed = image.headers_size
    for section in sorted((s for s in image.sections if s.raw_size), key=lambda s: s.raw_offset):
        parts.append(view[section.raw_offset : section.raw_offset + section.raw_size])
        hashed += section.raw_size
    parts.append(view[hashed : len(image.data) - image.certificates[1]])
    return _digest(algorithm, parts)


def section_in_memory(image: Image, section: Section, algorithm: HashAlgorithm) -> bytes:
    """Hash the section as a loaded image shows it: VirtualSize bytes, those that the file does not have being zero."""
    zeros = section.virtual_size - section.file_size
    if zeros > MAX_ZEROS:
        raise MalformedEvidence(ArtifactId.UKI, f"section {section.name}: got {zeros} zeros, want at most {MAX_ZEROS}")
    content = memoryview(image.data)[section.raw_offset : section.raw_offset + section.file_size]
    chunk = memoryview(bytes(min(zeros, _CHUNK)))
    parts = [content] + [chunk[: min(_CHUNK, zeros - at)] for at in range(0, zeros, _CHUNK)]
    return _digest(algorithm, parts)


def section_content(image: Image, section: Section) -> bytes:
    """Return the bytes that the file has of the section."""
    return image.data[section.raw_offset : section.raw_offset + section.file_size]


def _digest(algorithm: HashAlgorithm, parts: list[memoryview]) -> bytes:
    return algorithm.digest(b"".join(parts))
