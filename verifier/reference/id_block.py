"""SNP ID blocks: what the firmware demands of a guest at launch, and who signed that. Pure.

The report of a guest that was launched with an ID block states its family, image, guest SVN and the digests of both keys. Not checked
here: the block's signature, which the firmware checks at launch.
Source: SEV-SNP Firmware ABI (56860), tables "ID Block" (96 bytes) and "ID Authentication Information" (4096 bytes), little-endian;
a key's digest is SHA-384 of its 1028 bytes in the table. Raises ``MalformedEvidence``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Final

from verifier.core.ids import ArtifactId
from verifier.formats.errors import MalformedEvidence
from verifier.tee.sev_snp.rules import GUEST_POLICY_BITS

_BLOCK: Final = struct.Struct("<48s16s16sIIQ")
_AUTH_SIZE: Final = 4096
_ID_KEY_AT, _AUTHOR_KEY_AT, _KEY_SIZE = 0x240, 0x880, 1028


@dataclass(frozen=True, slots=True)
class IdBlock:
    """One ID block."""

    launch_digest: bytes
    family_id: bytes
    image_id: bytes
    guest_svn: int
    policy: int


def decode_id_block(data: bytes) -> IdBlock:
    """Read a block, raw or in base64 as QEMU takes it."""
    digest, family, image, version, svn, policy = _BLOCK.unpack(_raw(data, _BLOCK.size, ArtifactId.ID_BLOCK))
    if version != 1:
        raise MalformedEvidence(ArtifactId.ID_BLOCK, f"ID block version: got {version}, want 1")
    return IdBlock(digest, family, image, svn, policy)


def key_digests(data: bytes) -> dict[str, str]:
    """Return the digests of ID key and author key; an author key of zeros is none, and its digest in the report is zero."""
    auth = _raw(data, _AUTH_SIZE, ArtifactId.ID_AUTH)
    digests = {}
    for name, start in (("id_key_digest", _ID_KEY_AT), ("author_key_digest", _AUTHOR_KEY_AT)):
        key = auth[start : start + _KEY_SIZE]
        digests[name] = hashlib.sha384(key).hexdigest() if any(key) else "0" * 96
    if not any(auth[_ID_KEY_AT : _ID_KEY_AT + _KEY_SIZE]):
        raise MalformedEvidence(ArtifactId.ID_AUTH, "ID key: got all zero, want a key")
    return digests


def guest_policy_values(policy: int) -> dict[str, Any]:
    """Return POLICY as a firmware identity has it."""
    bits = {name: bool(policy >> place & 1) for name, place in GUEST_POLICY_BITS.items()}
    return {"guest_policy": bits, "minimum_abi": f"{policy >> 8 & 0xFF}.{policy & 0xFF}"}


def _raw(data: bytes, size: int, check_id: str) -> bytes:
    if len(data) == size:
        return data
    try:
        raw = base64.b64decode(data.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise MalformedEvidence(check_id, f"size: got {len(data)} bytes, want {size}, or their base64")
    return raw
