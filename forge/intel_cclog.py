"""CCEL logs of a forged trust domain: SHA-384, CC measurement registers 1 to 4 (RTMR 0 to 3), padded as firmware does.

``BootLog`` does the work: a CC register starts at zero, as the PCRs of those numbers do. Source: UEFI 2.10,
section 38 (confidential computing); ACPI 6.5, "CC Event Log ACPI Table".
"""

from __future__ import annotations

import struct
from typing import Final, Literal

from forge.bootlog import COMMAND_LINE, KERNEL, BootLog, add_secure_boot, add_start
from verifier.tee.tcg.layout import (
    SHA384,
)

LOG_AREA: Final = 64 * 1024
ACPI_TABLE_SIZE: Final = 56
CC_TYPE_TDX: Final = 2
EV_EFI_PLATFORM_FIRMWARE_BLOB2: Final = 0x8000000A
_RTMRS: Final = range(4)


def measured_cc_boot(
    *, secure_boot: bytes = b"\x01", kernel: bytes = KERNEL, command_line: bytes = COMMAND_LINE
) -> BootLog:
    """Build the log of a small trust domain: virtual firmware, Secure Boot variables, a boot loader, a kernel."""
    log = BootLog((SHA384,))
    log.add(1, EV_EFI_PLATFORM_FIRMWARE_BLOB2, b"\x09TDX table", hashed=b"the hand-off block of the virtual firmware")
    add_secure_boot(log, 1, secure_boot, order=1)
    return add_start(log, 2, (1, 2), (command_line, kernel), (3, 3), end=2)


def rtmrs_of(log: BootLog) -> dict[str, bytes]:
    """Return RTMR 0 to 3 as the log replays to them, by the names of the TD report's fields."""
    registers = log.registers(SHA384)
    return {f"rtmr{n}": registers.get(n + 1, bytes(SHA384.size)) for n in _RTMRS}


def log_area(log: BootLog, *, size: int = LOG_AREA, fill: Literal[b"\xff", b"\x00"] = b"\xff") -> bytes:
    """Return the whole log area as firmware leaves it: the log, and padding up to the size of the area."""
    data = log.to_bytes()
    return data + fill * (size - len(data))


def ccel_acpi_table(
    *,
    signature: bytes = b"CCEL",
    length: int = ACPI_TABLE_SIZE,
    cc_type: int = CC_TYPE_TDX,
    subtype: int = 0,
    reserved: int = 0,
    log_size: int = LOG_AREA,
    log_address: int = 0x7FBE_E000,
    checksum: int | None = None,
) -> bytes:
    """Write the ACPI table that says where the log is, 56 bytes; the checksum makes all bytes add up to 0."""
    header = struct.pack("<4sIBB6s8sI4sI", signature, length, 1, 0, b"FORGED", b"SIMULATE", 1, b"FRGD", 1)
    table = header + struct.pack("<BBHQQ", cc_type, subtype, reserved, log_size, log_address)
    own = -sum(table) % 256 if checksum is None else checksum
    return table[:9] + bytes((own,)) + table[10:]
