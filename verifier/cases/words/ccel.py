"""What the evidence claims of ``ccel`` mean, and what to change when it says no. For people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "registers": "the values that the log has to replay to, by hash and CC measurement register (1 to 4 are RTMR 0 to 3)",
        "log": "what the event log of the trust domain's firmware says; nothing of it is believed beyond what replay proves",
        "log.events": "how many events the log has, after its header",
        "log.algorithms": "hashes that each event carries",
        "log.spec_id": "version of the log's format",
        "log.event_types": "how many events of each type",
        "log.secure_boot": "what the log says of Secure Boot: true, false, empty (a variable without value), or nothing",
        "log.indexes": "CC measurement registers that the log extends",
        "log.bytes_used": "length of the log without the padding of its area",
        "rtmr2_in_quote": "RTMR2 as the TD quote beside the log has it; the quote itself is not verified here",
        "rtmr2_after_boot_log": "RTMR2 as the boot log alone replays to it",
        "ima_template_hash": "the one measurement of Linux IMA that was extended into RTMR2 after the boot log",
        "acpi_table": "what the firmware's CCEL table says of the log area",
        "acpi_table.log_size": "size of the log area in bytes",
        "acpi_table.cc_type": "kind of confidential computing: 2 is TDX",
    }
)
