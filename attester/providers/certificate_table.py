"""The certificate table that a host hands over with an SNP report: VCEK or VLEK, ASK, ARK.

Source: AMD 56421 *GHCB Specification*, "SNP Extended Guest Request", certificate data: entries of 24 bytes (GUID 16,
offset u32, length u32, little-endian) up to one of zeros; offsets count from the table's start. Writers differ in the byte
order of the GUID, so both are read. The host wrote it: it is believed for nothing but where the certificates stand.
"""

from __future__ import annotations

import uuid

from attester.ids import AttesterId
from verifier.formats.reader import Reader

CHECK = AttesterId.CONFIGFS_AUXBLOB
# GUID -> the endorsement's name in the envelope. Others (a CRL, a vendor's own) are not the attester's to hand over.
_GUIDS = {
    "63da758d-e664-4564-adc5-f4b93be8accd": "vcek",
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1": "vlek",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782": "ask",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae": "ark",
}
_NAMES = {form: name for text, name in _GUIDS.items() for form in (uuid.UUID(text).bytes, uuid.UUID(text).bytes_le)}
_ENTRY = 24
_MAX_ENTRIES = 32


def decode_certificate_table(table: bytes) -> dict[str, bytes]:
    """Read the certificates by endorsement name; an empty table has none. Raises ``MalformedEvidence`` only."""
    found: dict[str, bytes] = {}
    if not table:
        return found
    reader = Reader(table, CHECK, "certificate table")
    for _ in range(_MAX_ENTRIES):
        guid = reader.take(16, "guid")
        offset, length = reader.u32le("offset"), reader.u32le("length")
        if guid == bytes(16) and not offset and not length:
            break
        name = _NAMES.get(guid)
        if name is None:
            continue
        if name in found:
            raise reader.fail(f"{name}: got it twice, want it once")
        if not length or offset < _ENTRY or offset + length > len(table):
            raise reader.fail(f"{name}: got bytes {offset} to {offset + length}, want them inside {len(table)}")
        found[name] = table[offset : offset + length]
    else:
        raise reader.fail(f"entries: got more than {_MAX_ENTRIES}, want an entry of zeros before")
    return found
