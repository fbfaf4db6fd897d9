"""The parts of NitroTPM evidence, and every field in them for the bins of ``rules``.

Source: AWS *EC2 User Guide*, "NitroTPM attestation document contents" (the envelope is that of Nitro Enclaves, its table in
``aws_nitro.layout``); TCG TPM 2.0 Library Part 2 (the quote, its tables in ``tpm2.layout``).
"""

from __future__ import annotations

from typing import Final

from verifier.tee.aws_nitro import layout as nitro

NAME: Final = "aws-nitrotpm"
ATTESTATION: Final = nitro.PART
QUOTE: Final = "quote"
QUOTE_SIG: Final = "quote_sig"
PCRS: Final = "pcrs"
EVENTLOG: Final = "eventlog"
REQUIRED_PARTS: Final = frozenset((ATTESTATION, QUOTE, QUOTE_SIG))
OPTIONAL_PARTS: Final = frozenset((PCRS, EVENTLOG))

FIRMWARE_LAST: Final = 7
CONFIG_PCR: Final = 15

DOCUMENT: Final = "document."
DOCUMENT_FIELDS: Final = tuple(
    DOCUMENT + (nitro.NITROTPM_PCRS if name == nitro.PCRS else name) for name in nitro.FIELDS
)
QUOTE_FIELDS: Final = (
    "tpm.magic", "tpm.type", "tpm.qualified_signer", "tpm.extra_data", "tpm.clock", "tpm.reset_count", "tpm.restart_count",
    "tpm.safe", "tpm.firmware_version", "tpm.pcr_select", "tpm.pcr_digest", "tpm.signature", "tpm.pcrs", "tpm.eventlog",
)  # fmt: skip
FIELDS: Final = (*DOCUMENT_FIELDS, *QUOTE_FIELDS)
