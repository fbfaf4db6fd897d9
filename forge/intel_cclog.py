"""CCEL logs of a forged trust domain: SHA-384, CC measurement registers 1 to 4 (RTMR 0 to 3), padded as firmware does.

``BootLog`` does the work: a CC register starts at zero, as the PCRs of those numbers do. Source: UEFI 2.10,
section 38 (confidential computing); ACPI 6.5, "CC Event Log ACPI Table".
"""

from __future__ import annotations

import struct
from typing import Final, Literal

from forge.bootlog import COMMAND_LINE, INITRD, KERNEL, BootLog, secure_boot_variable
from verifier.tee.tcg.layout import (
    EFI_GLOBAL_VARIABLE,
    EFI_IMAGE_SECURITY_DATABASE,
    EV_EFI_ACTION,
    EV_EFI_BOOT_SERVICES_APPLICATION,
    EV_EFI_VARIABLE_BOOT2,
    EV_EFI_VARIABLE_DRIVER_CONFIG,
    EV_IPL,
    EV_SEPARATOR,
    SHA384,
    UefiVariable,
    encode_uefi_variable,
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
    log.add(1, EV_EFI_VARIABLE_DRIVER_CONFIG, secure_boot_variable(secure_boot))
    for name, vendor in (("PK", EFI_GLOBAL_VARIABLE), ("db", EFI_IMAGE_SECURITY_DATABASE)):
        variable = encode_uefi_variable(UefiVariable(vendor, name, f"simulated {name}".encode()))
        log.add(1, EV_EFI_VARIABLE_DRIVER_CONFIG, variable)
    boot_order = encode_uefi_variable(UefiVariable(EFI_GLOBAL_VARIABLE, "BootOrder", b"\x00\x00"))
    log.add(1, EV_EFI_VARIABLE_BOOT2, boot_order)
    log.add(2, EV_EFI_ACTION, b"Calling EFI Application from Boot Option")
    for register in (1, 2):
        log.add(register, EV_SEPARATOR, bytes(4))
    # The digest of an application is its Authenticode hash, its data a description: they do not match, as on real machines.
    log.add(2, EV_EFI_BOOT_SERVICES_APPLICATION, b"boot loader", hashed=b"the boot loader's image")
    log.add(3, EV_IPL, b"kernel_cmdline: " + command_line + b"\x00", hashed=command_line)
    log.add(3, EV_IPL, b"/vmlinuz\x00", hashed=kernel)
    log.add(3, EV_IPL, b"/initrd\x00", hashed=INITRD)
    log.add(2, EV_EFI_ACTION, b"Exit Boot Services Returned with Success")
    return log


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
