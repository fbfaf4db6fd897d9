"""The ids of cases that no envelope has: an AK that comes with its case, and is vouched for by nothing but its certificate."""

from __future__ import annotations

from enum import StrEnum


class CaseId(StrEnum):
    """What a case alone is refused under."""

    AK_PUB = "tpm2.decode.ak_pub"
    AK_CERT = "tpm2.decode.ak_cert"
    AK_MISSING = "tpm2.endorsement.ak-cert"
    AK_KEY = "tpm2.ak-cert.key"
    AK_ROOT = "tpm2.ak-cert.root"
    AK_CONSTRAINTS = "tpm2.ak-cert.constraints"
    AK_SIGNATURE = "tpm2.ak-cert.signature"
    AK_VALIDITY = "tpm2.ak-cert.validity"
    AK_CRL = "tpm2.ak-cert.crl"
    AK_REVOKED = "tpm2.ak-cert.revoked"
    GCP_AK_PUB = "gcp-vtpm.ak-cert.ak-pub"
    TD_QUOTE = "azure-tdx-vtpm.endorsement.td_quote"
