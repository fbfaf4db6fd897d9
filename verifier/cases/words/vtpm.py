"""A vTPM's quote in words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

QUOTE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bank": "hash of the PCRs that were quoted",
        "qualified_signer": "name of the attestation key and of what it stands under in the TPM",
        "extra_data": "what the caller asked to have signed: here the binding to challenge, keys and request",
        "clock": "milliseconds that the TPM has been running, over all boots",
        "reset_count": "number of boots of the TPM",
        "restart_count": "number of resumes since the last boot",
        "safe": "1 if the clock cannot have gone back",
        "firmware": "version of the TPM's firmware",
        "pcr_select": "registers that were quoted, by bank",
        "pcr_digest": "hash of their values",
        "pcrs": "values of the quoted registers",
        "log": "event log of the boot",
        "log.events": "number of events in the log",
        "log.algorithms": "hashes that the log carries for each event",
        "log.spec_id": "format of the log",
        "log.event_types": "how many events of which type",
        "log.secure_boot": "Secure Boot as the replayed log proves it",
        "log.indexes": "registers that the log has events for",
        "log.bytes_used": "bytes of the log without padding",
    }
)
