"""Fuzz targets of what an operator computes reference values from: enclave images, firmware metadata, ID blocks."""

from __future__ import annotations

import contextlib
import struct
import uuid
import zlib
from collections.abc import Callable

from verifier.formats.errors import BridgeError, MalformedEvidence
from verifier.reference.eif import decode_eif, pcrs_of
from verifier.reference.id_block import decode_id_block, key_digests
from verifier.reference.tdvf import decode_tdvf


def _sealed(image: bytes) -> bytes:
    """Give an image the CRC that it should have: a fuzzer does not find it."""
    if len(image) < 548:
        return image
    return image[:544] + struct.pack(">I", zlib.crc32(image[548:], zlib.crc32(image[:544]))) + image[548:]


def _eif(data: bytes) -> None:
    with contextlib.suppress(BridgeError):
        pcrs_of(decode_eif(_sealed(data)))


def _tdvf(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        decode_tdvf(data)


def _id_block(data: bytes) -> None:
    for reader in (decode_id_block, key_digests):
        with contextlib.suppress(MalformedEvidence):
            reader(data)


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    sections = ((1, b"kernel"), (2, b"quiet"), (3, b"init"), (3, b"app"), (4, b"\x81\xa0"))
    body, offsets = b"", []
    for kind, data in sections:
        offsets.append(548 + len(body))
        body += struct.pack(">HHQ", kind, 0, len(data)) + data
    pad = [0] * (32 - len(sections))
    tables = [*offsets, *pad, *(len(data) for _kind, data in sections), *pad]
    header = struct.pack(">4sHHQQHH64QII", b".eif", 4, 0, 1, 1, 0, len(sections), *tables, 0, 0)
    metadata = struct.pack("<4sIIIIIQQII", b"TDVF", 48, 1, 1, 0, 4096, 0xFFFFF000, 4096, 0, 1)
    table = struct.pack("<IH16s", 512, 22, uuid.UUID("e47a6535-984a-4798-865e-4685a7bf8ec2").bytes_le)
    table += struct.pack("<H16s", 40, uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le)
    firmware = bytes(4096 - 512) + metadata.ljust(512 - 32 - len(table), b"\x00") + table + bytes(32)
    return {
        "artifact-eif": _sealed(header + body),
        "artifact-tdvf": firmware,
        "artifact-id-block": struct.pack("<48s16s16sIIQ", bytes(48), bytes(16), bytes(16), 1, 0, 0x30000),
    }


TARGETS: dict[str, Callable[[bytes], None]] = {
    "artifact-eif": _eif,
    "artifact-tdvf": _tdvf,
    "artifact-id-block": _id_block,
}
