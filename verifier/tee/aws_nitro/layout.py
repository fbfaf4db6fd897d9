"""The attestation document of Nitro, as a table: keys of the payload and their limits.

Source: AWS *Nitro Enclaves attestation process* (repository aws-nitro-enclaves-nsm-api, folder ``docs``), sections 2.1
(COSE_Sign1), 2.2 (CDDL and rules of the payload), 3.2 (certificates); *EC2 User Guide*, "NitroTPM attestation document contents".
One envelope carries both kinds; NitroTPM has ``nitrotpm_pcrs`` in place of ``pcrs``. CBOR has no fixed offsets: the bytes are kept.
"""

from __future__ import annotations

import hashlib
from typing import Final

NAME: Final = "aws-nitro"
PART: Final = "attestation"
MAX_SIZE: Final = 32 * 1024  # a COSE_Sign1 with every field at its limit has some 22 KiB

# Keys of the payload, in the order in which documents have them.
MODULE_ID: Final = "module_id"
DIGEST: Final = "digest"
TIMESTAMP: Final = "timestamp"  # milliseconds since 1970
PCRS: Final = "pcrs"
NITROTPM_PCRS: Final = "nitrotpm_pcrs"
CERTIFICATE: Final = "certificate"
CABUNDLE: Final = "cabundle"  # root first
PUBLIC_KEY: Final = "public_key"
USER_DATA: Final = "user_data"
NONCE: Final = "nonce"

DIGEST_NAME: Final = "SHA384"
PCR_SIZE: Final = 48  # SHA-384's, the only digest
ENCLAVE_PCRS: Final = 32  # indexes 0 to 31
NITROTPM_PCRS_COUNT: Final = 24
MAX_MODULE_ID: Final = 256
MAX_TIMESTAMP: Final = 2**53 - 1  # what JSON's readers agree on
MAX_CERTIFICATE: Final = 1024
MAX_CABUNDLE: Final = 16
MAX_PUBLIC_KEY: Final = 1024
MAX_USER_DATA: Final = 512
MAX_NONCE: Final = 512  # the CDDL says 1024, the rules beneath it 512

# PCRs of an enclave (section 2.2 and the user guide's "Cryptographic attestation").
IMAGE_PCRS: Final = (0, 1, 2)  # image, kernel and bootstrap, application: all zero in debug mode
INSTANCE_PCR: Final = 4
FIRST_USER_PCR: Final = 16  # 16 to 31 are the enclave's own to extend and lock

# Every field of the evidence, for the bins of ``rules``.
FIELDS: Final = (
    "protected", "unprotected", "signature", MODULE_ID, DIGEST, TIMESTAMP, PCRS, CERTIFICATE, CABUNDLE, PUBLIC_KEY, USER_DATA,
    NONCE,
)  # fmt: skip


def extended_once(digest: bytes) -> bytes:
    """Return a PCR that held zeros and was extended with ``digest``: SHA-384 of both (NSM's ExtendPCR)."""
    return hashlib.sha384(bytes(PCR_SIZE) + digest).digest()
