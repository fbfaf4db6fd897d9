"""Decode the files of a ``ccel`` case: log, ACPI table, RTMRs of a TD quote, IMA list. Raises ``MalformedEvidence`` alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from verifier.formats.errors import MalformedEvidence
from verifier.formats.reader import Reader
from verifier.tee.ccel import layout
from verifier.tee.tcg.banks import Banks, decode_banks
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import SHA384, EventLog

LOG: Final = "ccel.decode.eventlog"
REGISTERS: Final = "ccel.decode.registers"
QUOTE: Final = "ccel.decode.quote"
TABLE: Final = "ccel.decode.acpi-table"
IMA: Final = "ccel.decode.ima"

MAX_QUOTE: Final = 64 * 1024
MAX_IMA: Final = 1024 * 1024
MAX_IMA_ENTRIES: Final = 16_384
# register, template hash (SHA-384), template name, template data.
_IMA_LINE: Final = re.compile(r" ?([0-9]{1,2}) ([0-9a-f]{96}) ([a-z0-9-]{1,32}) (.+)", re.ASCII)
_IMA_RTMR2: Final = 2  # the RTMR's own number, not the CC register's


@dataclass(frozen=True, slots=True)
class ImaEntry:
    """One measurement of IMA: the template hash that was extended, and what it is said to be the hash of. Unverified."""

    template_hash: bytes
    template: str
    data: str


@dataclass(frozen=True, slots=True)
class AcpiTable:
    """What firmware says of the log area; ``checksum_holds`` is that of the 56 bytes."""

    checksum_holds: bool
    cc_type: int
    log_size: int
    log_address: int


def decode_cc_log(data: bytes, *, check_id: str = LOG) -> EventLog:
    """Read a CCEL log, padding included: registers 0 to 4, at most 1 MiB. What it says is unproved until it is replayed."""
    return decode_log(data, check_id=check_id, max_register=layout.MAX_CC_REGISTER)


def decode_registers(data: bytes, what: str) -> Banks:
    """Read expected registers, ``{bank: {index: hex}}``, indexes 0 to 4."""
    banks = decode_banks(data, REGISTERS, what)
    for bank, values in banks.items():
        beyond = sorted(values.keys() - layout.CC_REGISTERS - {0})
        if beyond:
            raise MalformedEvidence(REGISTERS, f"{what}.{bank}: got index {beyond[0]}, want 0 to 4")
    return banks


def decode_acpi_table(data: bytes) -> AcpiTable:
    """Read the CCEL table: 56 bytes, its own signature and length, reserved bytes zero."""
    values = layout.ACPI_TABLE.decode(data)
    if values["signature"] != layout.ACPI_SIGNATURE or values["length"] != layout.ACPI_TABLE.size:
        got = f"{data[:4].hex()}, {int(values['length'])}"
        raise MalformedEvidence(TABLE, f"CCEL ACPI table: got signature and length {got}, want 4343454c, 56")
    return AcpiTable(
        checksum_holds=sum(data) % 256 == 0,
        cc_type=int(values["cc_type"]),
        log_size=int(values["log_size"]),
        log_address=int(values["log_address"]),
    )


def rtmrs_of_quote(data: bytes) -> Mapping[int, bytes]:
    """Read the RTMRs of a TD quote by CC register. Whose quote it is, is not checked here: ``tdx`` does."""
    if len(data) > MAX_QUOTE:
        raise MalformedEvidence(QUOTE, f"quote: got {len(data)} bytes, want at most {MAX_QUOTE}")
    reader = Reader(data, QUOTE, "quote")
    version = reader.u16le("version")
    reader.take(2, "attestation key type")
    tee = reader.u32le("TEE type")
    if version not in (4, 5) or tee != layout.TEE_TDX:
        raise reader.fail(f"got version {version}, TEE type {tee:#x}, want version 4 or 5 of TDX (0x81)")
    reader.take(layout.QUOTE_HEADER - reader.position, "header")
    size = layout.TD_BODY_V4
    if version == 5:  # noqa: PLR2004 - the version that says what its body is
        kind, size = reader.u16le("body type"), reader.u32le("body size")
        if layout.TD_BODY_TYPES.get(kind) != size:
            raise reader.fail(f"got body type {kind} of {size} bytes, want a TD report")
    body = reader.take(size, "body")
    start, step = layout.RTMR0_OFFSET, layout.RTMR_SIZE
    return MappingProxyType({n: body[start + (n - 1) * step : start + n * step] for n in sorted(layout.CC_REGISTERS)})


def decode_ima(data: bytes) -> tuple[ImaEntry, ...]:
    """Read an ASCII measurement list whose hashes are SHA-384; at least one entry, all of RTMR2."""
    if len(data) > MAX_IMA:
        raise MalformedEvidence(IMA, f"IMA list: got {len(data)} bytes, want at most {MAX_IMA}")
    try:
        # Split at newlines alone: a path may hold what Python takes for other line ends.
        lines = data.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise MalformedEvidence(IMA, "IMA list: not UTF-8") from None
    if len(lines) > MAX_IMA_ENTRIES:
        raise MalformedEvidence(IMA, f"IMA list: got {len(lines)} entries, want at most {MAX_IMA_ENTRIES}")
    return tuple(_ima_entry(number, line) for number, line in enumerate(lines, start=1))


def _ima_entry(number: int, line: str) -> ImaEntry:
    found = _IMA_LINE.fullmatch(line)
    if found is None or int(found[1]) != _IMA_RTMR2:
        raise MalformedEvidence(
            IMA, f"IMA list, line {number}: want '2 <SHA-384 in hex> <template> <data>', 2 being RTMR2"
        )
    return ImaEntry(bytes.fromhex(found[2]), found[3], found[4])


def template_data(entry: ImaEntry) -> bytes | None:
    """Return what the template hash of an ``ima-ng`` or ``ima-sig`` entry is the hash of; ``None`` where it cannot be told.

    Each field as u32 length and bytes: ``<hash name>:`` NUL digest, path NUL, for ``ima-sig`` the signature.
    """
    fields = entry.data.split(" ", 1)
    signature: tuple[bytes, ...] = ()
    try:
        name, digest = fields[0].split(":", 1)
        path = fields[1]
        if entry.template == "ima-sig":
            path, _space, signed = path.rpartition(" ")
            signature = (bytes.fromhex(signed),)
        elif entry.template != "ima-ng":
            return None
        parts = (name.encode() + b":\x00" + bytes.fromhex(digest), path.encode() + b"\x00", *signature)
    except (ValueError, IndexError):
        return None
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def template_holds(entry: ImaEntry) -> bool:
    """Tell whether the template hash is the hash of the template's data; false where that cannot be told."""
    data = template_data(entry)
    return data is not None and SHA384.digest(data) == entry.template_hash
