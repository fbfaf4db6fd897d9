"""MRTD of forged firmware, held against the TDX module's operations as its specification words them, one after the other."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifier.core.ids import ArtifactId
from verifier.formats.errors import MalformedEvidence
from verifier.reference.tdvf import Section, decode_tdvf, mrtd_of

PAGE = 4096
CODE = bytes(range(256)) * 48  # three pages
MEASURED, UNMEASURED, LATER = 1, 0, 2


def forge(sections: Sequence[Section], *, size: int = 8 * PAGE, distance: int = 512, other_entries: int = 1) -> bytes:
    """Write firmware with Intel's metadata and OVMF's table of GUIDs."""
    image = bytearray(size)
    image[PAGE : PAGE + len(CODE)] = CODE
    descriptor = struct.pack("<4sIII", b"TDVF", 16 + 32 * len(sections), 1, len(sections))
    for one in sections:
        descriptor += struct.pack(
            "<IIQQII", one.offset, one.size, one.address, one.memory_size, one.kind, one.attributes
        )
    image[size - distance : size - distance + len(descriptor)] = descriptor
    table = b""
    for index in range(other_entries):
        table += b"\x00" * 6 + struct.pack("<H16s", 24, uuid.UUID(int=index + 1).bytes_le)
    table += struct.pack("<IH16s", distance, 22, uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le)
    table += struct.pack("<H16s", len(table) + 18, uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le)
    image[size - 32 - len(table) : size - 32] = table
    return bytes(image)


BFV = Section(PAGE, 3 * PAGE, 0xFFC00000, 3 * PAGE, 0, MEASURED)
CFV = Section(0, PAGE, 0xFFBFF000, PAGE, 1, UNMEASURED)
STACK = Section(0, 0, 0x810000, 2 * PAGE, 3, UNMEASURED)
MEMORY = Section(0, 0, 0x0, 16 * PAGE, 4, LATER)
ALL = (BFV, CFV, STACK, MEMORY)


def add(address: int) -> bytes:
    return b"MEM.PAGE.ADD" + bytes(4) + struct.pack("<Q", address) + bytes(128 - 24)


def extend(address: int, chunk: bytes) -> bytes:
    return b"MR.EXTEND" + bytes(7) + struct.pack("<Q", address) + bytes(128 - 24) + chunk


def test_mrtd_is_what_the_module_is_told_page_by_page() -> None:
    told = b""
    for page in range(3):
        told += add(0xFFC00000 + page * PAGE)
        for at in range(page * PAGE, (page + 1) * PAGE, 256):
            told += extend(0xFFC00000 + at, CODE[at : at + 256])
    told += add(0xFFBFF000) + add(0x810000) + add(0x811000)
    assert mrtd_of(forge(ALL)) == hashlib.sha384(told).digest()
    assert mrtd_of(forge(ALL, other_entries=4)) == hashlib.sha384(told).digest()


def test_mrtd_is_what_the_module_is_told_section_by_section() -> None:
    told = b"".join(add(0xFFC00000 + page * PAGE) for page in range(3))
    told += b"".join(extend(0xFFC00000 + at, CODE[at : at + 256]) for at in range(0, 3 * PAGE, 256))
    told += add(0xFFBFF000) + add(0x810000) + add(0x811000)
    assert mrtd_of(forge(ALL), "section") == hashlib.sha384(told).digest()
    assert mrtd_of(forge(ALL), "section") != mrtd_of(forge(ALL), "page")


def test_what_is_not_measured_does_not_count_and_what_is_does() -> None:
    good = forge(ALL)
    unmeasured = bytearray(good)
    unmeasured[5] ^= 1
    measured = bytearray(good)
    measured[PAGE + 5] ^= 1
    assert mrtd_of(bytes(unmeasured)) == mrtd_of(good)
    assert mrtd_of(bytes(measured)) != mrtd_of(good)
    assert mrtd_of(forge((BFV, replace(CFV, address=0xFFBFE000), STACK))) != mrtd_of(good)


def test_sections_are_read_as_they_stand() -> None:
    assert decode_tdvf(forge(ALL)) == ALL


@pytest.mark.parametrize(
    "firmware",
    [
        b"",
        bytes(49),
        bytes(8 * PAGE),
        forge(ALL)[:-1],
        forge(()),
        forge((replace(BFV, address=0xFFC00001),)),
        forge((replace(BFV, memory_size=3 * PAGE + 1),)),
        forge((replace(BFV, offset=6 * PAGE),)),
        forge((replace(BFV, size=4 * PAGE),)),
        forge((replace(BFV, size=2 * PAGE),)),
        forge((replace(BFV, attributes=4),)),
        forge((replace(BFV, attributes=3),)),
        forge((replace(STACK, address=1 << 52),)),
        forge((replace(STACK, memory_size=1 << 40),)),
        forge((STACK,) * 65, distance=65 * 32 + 400),
        forge(ALL, distance=15 * 8),
        forge(ALL).replace(b"TDVF", b"TDVX"),
        forge(ALL).replace(b"TDVF" + struct.pack("<II", 16 + 128, 1), b"TDVF" + struct.pack("<II", 16 + 128, 2)),
        forge(ALL).replace(b"TDVF" + struct.pack("<II", 16 + 128, 1), b"TDVF" + struct.pack("<II", 16, 1)),
        forge(ALL).replace(uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le, bytes(16)),
    ],
)
def test_firmware_whose_metadata_are_wrong_is_refused(firmware: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        mrtd_of(firmware)
    assert caught.value.check_id == ArtifactId.TDVF
    assert "want" in caught.value.detail


@settings(max_examples=200, derandomize=True)
@given(at=st.integers(7 * PAGE, 8 * PAGE - 1), piece=st.binary(min_size=1, max_size=8))
def test_whatever_the_bytes_only_a_no_is_raised(at: int, piece: bytes) -> None:
    good = forge((BFV, CFV, STACK))
    with contextlib.suppress(MalformedEvidence):
        decode_tdvf((good[:at] + piece + good[at + len(piece) :])[: len(good)])
