"""Unified kernel images without any kernel: PE32+ files written by hand, and what firmware and stub would measure of them.

Written from the formats, not from the verifier's reader of them, so that the two can disagree. Sections are laid out one behind the
other, so Authenticode's digest is the whole file without its checksum and its security entry.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from verifier.tee.tcg.layout import HashAlgorithm

_FILE_ALIGNMENT, _SECTION_ALIGNMENT = 0x200, 0x1000
_PE_AT, _OPTIONAL_SIZE, _SECTION_SIZE = 0x80, 112 + 16 * 8, 40
_CHECKSUM_AT = _PE_AT + 24 + 64
_SECURITY_AT = _PE_AT + 24 + 112 + 4 * 8
_SD_MAGIC = "#### LoaderInfo: systemd-stub {} ####"
# What systemd-stub measures, in order (UAPI.5); all but ``.pcrsig``, which signs it.
ORDER = (
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey", ".profile", ".hwids",
)  # fmt: skip


def _up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


@dataclass(frozen=True, slots=True)
class SimulatedUki:
    """An image and its sections; ``data`` is the file."""

    data: bytes
    sections: tuple[tuple[str, bytes], ...]

    @property
    def measured(self) -> tuple[tuple[str, bytes], ...]:
        """The sections that a recent stub measures, in the order in which it does."""
        found = dict(self.sections)
        return tuple((name, found[name]) for name in ORDER if name in found)

    def authenticode(self, algorithm: HashAlgorithm) -> bytes:
        """Return what firmware extends into PCR 4."""
        head, tail = self.data[:_CHECKSUM_AT], self.data[_SECURITY_AT + 8 :]
        return algorithm.digest(head + self.data[_CHECKSUM_AT + 4 : _SECURITY_AT] + tail)

    def pcr11(self, algorithm: HashAlgorithm, *words: str) -> bytes:
        """Return PCR 11 after the stub and these boot phases."""
        value = bytes(algorithm.size)
        measured = [part for name, content in self.measured for part in (name.encode() + b"\x00", content)]
        for part in (*measured, *(word.encode() for word in words)):
            value = algorithm.digest(value + algorithm.digest(part))
        return value


def make_uki(version: str = "257.1", **changes: bytes | None) -> SimulatedUki:
    """Make an image; ``changes`` name sections without their dot, ``None`` leaves one out. "" for a stub that says no version."""
    contents: dict[str, bytes | None] = {
        "text": b"the stub's code",
        "sdmagic": _SD_MAGIC.format(version).encode() if version else None,
        "osrel": b"ID=simulated\n",
        "cmdline": b"console=ttyS0 ro\x00",
        "uname": b"6.12.0-simulated",
        "sbat": b"sbat,1,simulated\n",
        "linux": b"a kernel" * 100,
        "initrd": b"an initial RAM disk" * 100,
        **changes,
    }
    sections = tuple((f".{name}", content) for name, content in contents.items() if content is not None)
    return SimulatedUki(encode_image(sections), sections)


def encode_image(sections: tuple[tuple[str, bytes], ...]) -> bytes:
    """Write a PE32+ image with these sections and no others."""
    headers_size = _up(_PE_AT + 24 + _OPTIONAL_SIZE + _SECTION_SIZE * len(sections), _FILE_ALIGNMENT)
    table, bodies = b"", b""
    raw, virtual = headers_size, _SECTION_ALIGNMENT
    for name, content in sections:
        size = _up(len(content), _FILE_ALIGNMENT)
        table += struct.pack("<8sIIIIIIHHI", name.encode(), len(content), virtual, size, raw, 0, 0, 0, 0, 0x40000040)
        bodies += content.ljust(size, b"\x00")
        raw, virtual = raw + size, _up(virtual + max(1, len(content)), _SECTION_ALIGNMENT)
    optional = struct.pack("<HBBIIIII", 0x20B, 2, 40, 0, len(bodies), 0, _SECTION_ALIGNMENT, _SECTION_ALIGNMENT)
    optional += struct.pack("<QII6HIIIIHHQQQQII", 0, _SECTION_ALIGNMENT, _FILE_ALIGNMENT, 0, 0, 0, 0, 1, 1, 0, virtual,
                            headers_size, 0x1234, 10, 0, 0, 0, 0, 0, 0, 16)  # fmt: skip
    coff = b"PE\x00\x00" + struct.pack("<HHIIIHH", 0x8664, len(sections), 0, 0, 0, _OPTIONAL_SIZE, 0x202E)
    dos = b"MZ".ljust(0x3C, b"\x00") + struct.pack("<I", _PE_AT)
    header = dos.ljust(_PE_AT, b"\x00") + coff + optional.ljust(_OPTIONAL_SIZE, b"\x00") + table
    return header.ljust(headers_size, b"\x00") + bodies
