"""TCG event logs on the wire: algorithms, event types, records and their encoders.

Sources: TCG PC Client Platform Firmware Profile 1.05/1.06, sections 10.2 (TCG_PCClientPCREvent, TCG_PCR_EVENT2,
TCG_EfiSpecIDEvent) and 10.4 (event types); TCG Algorithm Registry 1.34, table 3; UEFI 2.10, section 38. All integers are
little-endian. Decoding is in ``decode``; the encoders stand here because the forged vendors write logs too.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes


class Hash(Protocol):
    """What of ``hashlib`` is used here."""

    def digest(self) -> bytes:
        """Return the digest of what was fed."""
        ...


@dataclass(frozen=True, slots=True)
class HashAlgorithm:
    """A TPM_ALG_ID that names a hash; ``new`` is ``None`` where it cannot be computed here (SM3, if OpenSSL has none)."""

    id: int
    name: str
    size: int
    new: Callable[[bytes], Hash] | None

    def digest(self, data: bytes) -> bytes:
        """Hash ``data``; a ``ValueError`` for an algorithm that cannot be computed here."""
        if self.new is None:
            raise ValueError(f"{self.name} cannot be computed")
        return self.new(data).digest()


class _Sm3:
    """SM3 (GB/T 32905-2016, ISO/IEC 10118-3): ``hashlib`` may lack it where ``cryptography`` has it."""

    __slots__ = ("_hash",)

    def __init__(self, data: bytes) -> None:
        self._hash = hashes.Hash(hashes.SM3())
        self._hash.update(data)

    def digest(self) -> bytes:
        return self._hash.finalize()


def _sm3_or_none() -> Callable[[bytes], Hash] | None:
    try:
        _Sm3(b"")
    except UnsupportedAlgorithm:
        return None
    return _Sm3


SHA1 = HashAlgorithm(0x0004, "sha1", 20, lambda data: hashlib.sha1(data, usedforsecurity=False))
SHA256 = HashAlgorithm(0x000B, "sha256", 32, hashlib.sha256)
SHA384 = HashAlgorithm(0x000C, "sha384", 48, hashlib.sha384)
SHA512 = HashAlgorithm(0x000D, "sha512", 64, hashlib.sha512)
SM3_256 = HashAlgorithm(0x0012, "sm3_256", 32, _sm3_or_none())
SHA3_256 = HashAlgorithm(0x0027, "sha3_256", 32, hashlib.sha3_256)
SHA3_384 = HashAlgorithm(0x0028, "sha3_384", 48, hashlib.sha3_384)
SHA3_512 = HashAlgorithm(0x0029, "sha3_512", 64, hashlib.sha3_512)

HASHES: Mapping[int, HashAlgorithm] = MappingProxyType(
    {a.id: a for a in (SHA1, SHA256, SHA384, SHA512, SM3_256, SHA3_256, SHA3_384, SHA3_512)}
)
HASHES_BY_NAME: Mapping[str, HashAlgorithm] = MappingProxyType({a.name: a for a in HASHES.values()})
# Banks that a verdict may rest on: SHA-256 or stronger (docs/tee/tpm2.md).
STRONG_HASHES: frozenset[int] = frozenset((SHA256.id, SHA384.id, SHA512.id))

EV_NO_ACTION = 0x3
EV_SEPARATOR = 0x4
EV_S_CRTM_VERSION = 0x8
EV_IPL = 0xD
EV_EFI_VARIABLE_DRIVER_CONFIG = 0x80000001
EV_EFI_VARIABLE_BOOT = 0x80000002
EV_EFI_BOOT_SERVICES_APPLICATION = 0x80000003
EV_EFI_GPT_EVENT = 0x80000006
EV_EFI_ACTION = 0x80000007
EV_EFI_VARIABLE_BOOT2 = 0x8000000C
EV_EFI_HCRTM_EVENT = 0x80000010
EV_EFI_VARIABLE_AUTHORITY = 0x800000E0

EVENT_TYPES: Mapping[int, str] = MappingProxyType(
    {
        0x0: "EV_PREBOOT_CERT",
        0x1: "EV_POST_CODE",
        0x2: "EV_UNUSED",
        EV_NO_ACTION: "EV_NO_ACTION",
        EV_SEPARATOR: "EV_SEPARATOR",
        0x5: "EV_ACTION",
        0x6: "EV_EVENT_TAG",
        0x7: "EV_S_CRTM_CONTENTS",
        EV_S_CRTM_VERSION: "EV_S_CRTM_VERSION",
        0x9: "EV_CPU_MICROCODE",
        0xA: "EV_PLATFORM_CONFIG_FLAGS",
        0xB: "EV_TABLE_OF_DEVICES",
        0xC: "EV_COMPACT_HASH",
        EV_IPL: "EV_IPL",
        0xE: "EV_IPL_PARTITION_DATA",
        0xF: "EV_NONHOST_CODE",
        0x10: "EV_NONHOST_CONFIG",
        0x11: "EV_NONHOST_INFO",
        0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
        0x13: "EV_POST_CODE2",
        EV_EFI_VARIABLE_DRIVER_CONFIG: "EV_EFI_VARIABLE_DRIVER_CONFIG",
        EV_EFI_VARIABLE_BOOT: "EV_EFI_VARIABLE_BOOT",
        EV_EFI_BOOT_SERVICES_APPLICATION: "EV_EFI_BOOT_SERVICES_APPLICATION",
        0x80000004: "EV_EFI_BOOT_SERVICES_DRIVER",
        0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
        EV_EFI_GPT_EVENT: "EV_EFI_GPT_EVENT",
        EV_EFI_ACTION: "EV_EFI_ACTION",
        0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB",
        0x80000009: "EV_EFI_HANDOFF_TABLES",
        0x8000000A: "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
        0x8000000B: "EV_EFI_HANDOFF_TABLES2",
        EV_EFI_VARIABLE_BOOT2: "EV_EFI_VARIABLE_BOOT2",
        0x8000000D: "EV_EFI_GPT_EVENT2",
        EV_EFI_HCRTM_EVENT: "EV_EFI_HCRTM_EVENT",
        EV_EFI_VARIABLE_AUTHORITY: "EV_EFI_VARIABLE_AUTHORITY",
        0x800000E1: "EV_EFI_SPDM_FIRMWARE_BLOB",
        0x800000E2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
    }
)
EVENT_TYPES_BY_NAME: Mapping[str, int] = MappingProxyType({name: value for value, name in EVENT_TYPES.items()})


def type_name(event_type: int) -> str:
    """Return the event type's name, or its number where it has no name."""
    return EVENT_TYPES.get(event_type, f"0x{event_type:08x}")


@dataclass(frozen=True, slots=True)
class Event:
    """One event as logged. ``register`` is the PCR (in a CCEL log: the CC measurement register). Data are unverified."""

    ordinal: int  # 0 for the first event after the Spec ID header
    register: int
    type: int
    digests: Mapping[int, bytes]  # by TPM_ALG_ID
    data: bytes


@dataclass(frozen=True, slots=True)
class EventLog:
    """A parsed log. ``raw`` is what was handed in, padding included; ``bytes_used`` is where the padding starts."""

    raw: bytes
    bytes_used: int
    spec_id: str
    algorithms: tuple[tuple[int, int], ...]  # (TPM_ALG_ID, digest size) in the order of the Spec ID event
    banks: frozenset[int]  # of these, the computable ones of which every extended event carries a digest
    startup_locality: int  # 0 unless a StartupLocality event or an H-CRTM says otherwise
    events: tuple[Event, ...]


SPEC_ID_SIGNATURE = b"Spec ID Event03\x00"
STARTUP_LOCALITY_SIGNATURE = b"StartupLocality\x00"
# SHA-1 digest field of the header event and of events that are not extended.
_NO_DIGEST = bytes(20)


def encode_sha1_event(register: int, event_type: int, digest: bytes, data: bytes) -> bytes:
    """Write a TCG_PCClientPCREvent (PFP 10.2.1)."""
    return struct.pack("<II20sI", register, event_type, digest, len(data)) + data


def encode_spec_id(algorithms: Iterable[HashAlgorithm], *, errata: int = 0) -> bytes:
    """Write the first event of a crypto-agile log: Spec ID Event03, version 2.0 (PFP 10.4.5.1)."""
    table = [struct.pack("<HH", a.id, a.size) for a in algorithms]
    data = SPEC_ID_SIGNATURE + struct.pack("<IBBBBI", 0, 0, 2, errata, 2, len(table)) + b"".join(table) + b"\x00"
    return encode_sha1_event(0, EV_NO_ACTION, _NO_DIGEST, data)


def encode_event2(register: int, event_type: int, digests: Iterable[tuple[int, bytes]], data: bytes) -> bytes:
    """Write a TCG_PCR_EVENT2 (PFP 10.2.2); ``digests`` are (TPM_ALG_ID, digest)."""
    listed = list(digests)
    return (
        struct.pack("<III", register, event_type, len(listed))
        + b"".join(struct.pack("<H", algorithm) + digest for algorithm, digest in listed)
        + struct.pack("<I", len(data))
        + data
    )


def encode_startup_locality(locality: int, algorithms: Iterable[HashAlgorithm]) -> bytes:
    """Write the EV_NO_ACTION event that says from which locality TPM2_Startup came (PFP 10.4.5.3)."""
    zeros = [(a.id, bytes(a.size)) for a in algorithms]
    return encode_event2(0, EV_NO_ACTION, zeros, STARTUP_LOCALITY_SIGNATURE + bytes((locality,)))


# Vendor GUIDs in the mixed-endian form in which UEFI stores them.
EFI_GLOBAL_VARIABLE = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
EFI_GLOBAL_VARIABLE_TEXT = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
EFI_IMAGE_SECURITY_DATABASE = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")


@dataclass(frozen=True, slots=True)
class UefiVariable:
    """UEFI_VARIABLE_DATA (PFP 10.2.6): vendor GUID as stored, name, and the variable's value."""

    vendor: bytes
    name: str
    value: bytes


def encode_uefi_variable(variable: UefiVariable) -> bytes:
    """Write UEFI_VARIABLE_DATA."""
    name = variable.name.encode("utf-16-le")
    return variable.vendor + struct.pack("<QQ", len(name) // 2, len(variable.value)) + name + variable.value


def initial_register(register: int, size: int, startup_locality: int = 0) -> bytes:
    """Return a PCR's value before its first extend: PCR 0 carries the locality, 17 to 22 start all ones (PFP 2.3.4)."""
    if 17 <= register <= 22:  # noqa: PLR2004 - the dynamic PCRs
        return b"\xff" * size
    if register == 0:
        return bytes(size - 1) + bytes((startup_locality,))
    return bytes(size)


def extend(algorithm: HashAlgorithm, value: bytes, digest: bytes) -> bytes:
    """Extend a register: H(old value, digest)."""
    return algorithm.digest(value + digest)
