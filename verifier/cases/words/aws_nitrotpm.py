"""What the evidence claims of a NitroTPM mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verifier.cases.words.aws_nitro import DOCUMENT_WORDS

WORDS: Final[Mapping[str, str]] = {
    **DOCUMENT_WORDS,
    "public_key": "the attestation key that the quote has to be signed with, as the requester put it in",
    "nitrotpm_pcrs": "the TPM's registers of the SHA-384 bank, as the hypervisor says, by index",
    "tpm": "the TPM's quote beside the document",
    "tpm.extra_data": "what the quote was asked to carry; of an attester, the binding digest in 32 bytes",
    "tpm.clock": "milliseconds that the TPM has been running",
    "tpm.reset_count": "how often the TPM was reset (obfuscated outside the endorsement hierarchy)",
    "tpm.restart_count": "how often it was restarted since (obfuscated too)",
    "tpm.firmware": "the TPM's firmware version (obfuscated too)",
    "tpm.pcr_select": "which registers of which bank the quote is over",
    "tpm.pcr_digest": "the hash, by the signature's hash function, of the selected registers",
    "tpm_signature_checked": "whether the quote's signature verifies with the document's key",
    "log": "the boot's event log",
    "log.secure_boot": "whether Secure Boot was on, as far as a replayed log proves it",
}
