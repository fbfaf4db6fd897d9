"""Layouts around a CCEL log: the ACPI table that says where it is, and where a TD quote holds its RTMRs.

Sources: ACPI 6.5 section 5.2.34 (CCEL) and 5.2.6 (header, checksum); UEFI 2.10 section 38.4 (CC measurement registers);
quotes: ``dcap.layout`` owns them, this platform reads four registers and verifies nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from verifier.formats.layout import Field, Layout

# CC measurement registers: 0 is MRTD, which no log extends; 1 to 4 are RTMR 0 to 3.
MAX_CC_REGISTER: Final = 4
CC_REGISTERS: Final = frozenset(range(1, MAX_CC_REGISTER + 1))
RTMR2: Final = 3
SECURE_BOOT_REGISTER: Final = 1  # what a PC measures into PCR 1 and 7 goes to RTMR0

# An event of an application (CoCo's AAEL): EV_EVENT_TAG whose data begin with this tag, u32 little-endian. It hashes all of its data.
EV_EVENT_TAG: Final = 0x6
AAEL_TAG: Final = b"LEAA"

ACPI_SIGNATURE: Final = b"CCEL"
CC_TYPE_TDX: Final = 2
ACPI_TABLE: Final = Layout(
    "CCEL ACPI table",
    56,
    (
        Field("signature", 0, 4),
        Field("length", 4, 4, "le"),
        Field("revision", 8, 1, "le"),
        Field("checksum", 9, 1, "le"),
        Field("oem_id", 10, 6),
        Field("oem_table_id", 16, 8),
        Field("oem_revision", 24, 4, "le"),
        Field("creator_id", 28, 4),
        Field("creator_revision", 32, 4, "le"),
        Field("cc_type", 36, 1, "le"),
        Field("cc_subtype", 37, 1, "le"),
        Field("reserved", 38, 2, "zero"),
        Field("log_size", 40, 8, "le"),
        Field("log_address", 48, 8, "le"),
    ),
    check_id="ccel.decode.acpi-table",
)

# A TD quote: version u16 at 0, TEE type u32 at 4. The body starts behind the header, in version 5 behind type and size too.
QUOTE_HEADER: Final = 48
TEE_TDX: Final = 0x81
TD_BODY_TYPES: Final = MappingProxyType({2: 584, 3: 648, 4: 885})
TD_BODY_V4: Final = 584
RTMR0_OFFSET: Final = 328
RTMR_SIZE: Final = 48
