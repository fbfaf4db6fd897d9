"""The ids of enrolment: said by the cryptography here, by the service that asks, and by the store that keeps list and tickets."""

from __future__ import annotations

from enum import StrEnum


class EnrolmentId(StrEnum):
    """An EK or AK that is not what it has to be, a state or secret that was not given out here, a TPM that nothing lets in."""

    EK_CHAIN = "tpm2.enrolment.ek-chain"
    EK_ROOT = "tpm2.enrolment.ek-root"
    EK_CONSTRAINTS = "tpm2.enrolment.ek-constraints"
    EK_SIGNATURE = "tpm2.enrolment.ek-signature"
    EK_VALIDITY = "tpm2.enrolment.ek-validity"
    EK_CRL = "tpm2.enrolment.ek-crl"
    EK_REVOKED = "tpm2.enrolment.ek-revoked"
    EK_USAGE = "tpm2.enrolment.ek-usage"
    EK_PUBLIC = "tpm2.enrolment.ek-public"
    EK_KEY = "tpm2.enrolment.ek-key"
    EK_ATTRIBUTES = "tpm2.enrolment.ek-attributes"
    EK_ROCA = "tpm2.enrolment.ek-roca"
    AK_PUBLIC = "tpm2.enrolment.ak-public"
    AK_ATTRIBUTES = "tpm2.enrolment.ak-attributes"
    AK_NAME = "tpm2.enrolment.ak-name"
    STATE = "tpm2.enrolment.state"
    SECRET = "tpm2.enrolment.secret"  # noqa: S105 - an id
    EXPIRED = "tpm2.enrolment.expired"
    ADMISSION = "tpm2.enrolment.admission"
    TICKET = "tpm2.enrolment.ticket"
