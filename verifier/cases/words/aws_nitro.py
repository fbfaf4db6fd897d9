"""What the evidence claims of a Nitro document mean, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DOCUMENT_WORDS: Final[Mapping[str, str]] = {
    "module_id": "which Nitro Secure Module signed: the parent's EC2 instance id, and the enclave or TPM on it",
    "digest": "the hash that PCRs are made with",
    "timestamp_ms": "when the document was made, milliseconds since 1970, by the Nitro hypervisor's clock",
    "public_key": "a public key that the requester put in",
    "user_data": "data that the requester put in; of an attester, the binding digest",
    "nonce": "a nonce that the requester put in; of an attester, the challenge's",
    "cabundle_length": "how many CA certificates came with the document, the root counted",
    "chain_not_before": "from when on every certificate of the chain is valid",
    "chain_not_after": "until when every certificate of the chain is valid; the leaf lives three hours",
    "leaf_subject": "the name in the certificate that the document is signed with",
    "unknown_keys": "keys of the payload that this verifier does not know; AWS signed them, nothing here judges them",
}

WORDS: Final[Mapping[str, str]] = {
    **DOCUMENT_WORDS,
    "pcrs": "the enclave's registers (SHA-384), by index; those that are not listed were never extended",
    "pcrs.0": "the whole enclave image file",
    "pcrs.1": "the image's kernel and bootstrap",
    "pcrs.2": "the application in the image, without its boot ramdisk",
    "pcrs.3": "the IAM role of the parent instance (hash of its ARN); zero without one",
    "pcrs.4": "the parent's EC2 instance id (hash)",
    "pcrs.8": "the certificate that the image is signed with; zero for an unsigned one",
    **{f"pcrs.{index}": "reserved by AWS" for index in (5, 6, 7, *range(9, 16))},
    **{f"pcrs.{index}": "the enclave's own, extended while it runs" for index in range(16, 32)},
    "debug": "whether PCR0, 1 and 2 are zero: an enclave in debug mode, whose console the parent reads",
}
