"""The ids of every no of the attester's own. A member is its id, a plain string wherever it is shown, compared or stored.

Ids are part of the interface and never renamed. What each means and what to do about it stands in ``checks.toml``, beside this file.
"""

from __future__ import annotations

from enum import StrEnum


class AttesterId(StrEnum):
    """This machine, the way to the verifier, and Vault."""

    CONFIG_MEASURED = "attester.config.measured"
    CONFIG_IMAGE = "attester.config.image"
    CONFIG_ALLOWED = "attester.config.allowed"
    PROVIDER_ABSENT = "attester.provider.absent"
    CONFIGFS_ENTRY = "attester.configfs.entry"
    CONFIGFS_PROVIDER = "attester.configfs.provider"
    CONFIGFS_REFUSED = "attester.configfs.refused"
    CONFIGFS_BUSY = "attester.configfs.busy"
    CONFIGFS_REPORT = "attester.configfs.report"
    CONFIGFS_AUXBLOB = "attester.configfs.auxblob"
    CONFIGFS_EVENTLOG = "attester.configfs.eventlog"
    TPM2_DEVICE = "attester.tpm2.device"
    TPM2_BANK = "attester.tpm2.bank"
    TPM2_PCRS = "attester.tpm2.pcrs"
    TPM2_EVENTLOG = "attester.tpm2.eventlog"
    TPM2_IMA = "attester.tpm2.ima"
    TPM2_NV = "attester.tpm2.nv"
    TPM2_EK = "attester.tpm2.ek"
    VERIFIER_UNREACHABLE = "attester.verifier.unreachable"
    VERIFIER_UNTRUSTED = "attester.verifier.untrusted"
    VERIFIER_FAILED = "attester.verifier.failed"
    VERIFIER_ANSWER = "attester.verifier.answer"
    VAULT_UNREACHABLE = "attester.vault.unreachable"
    VAULT_UNTRUSTED = "attester.vault.untrusted"
    VAULT_UNAVAILABLE = "attester.vault.unavailable"
    VAULT_KEYS = "attester.vault.keys"
    VAULT_ANSWER = "attester.vault.answer"
    VAULT_LOGIN = "attester.vault.login"
    VAULT_DENIED = "attester.vault.denied"
    OUTPUT_WRITE = "attester.output.write"
    SECRET_KEY = "attester.secret.key"  # noqa: S105 - an id


class AnswerId(StrEnum):
    """The verifier's answer: what cannot be read, is not the verifier's, or was made for another attester."""

    JWE = "answer.jwe"
    JWE_HEADER = "answer.jwe.header"
    DECRYPT = "answer.decrypt"
    JWS = "answer.jws"
    JWS_HEADER = "answer.jws.header"
    KEYS = "answer.keys"
    KEYS_HEADER = "answer.keys.header"
    ROOT = "answer.root"
    KEYS_ISSUER = "answer.keys.issuer"
    SEQ = "answer.seq"
    EXPIRED = "answer.expired"
    EARLY = "answer.early"
    KID = "answer.kid"
    SIGNATURE = "answer.signature"
    BODY = "answer.body"
    ISSUER = "answer.issuer"
    NONCE = "answer.nonce"
    TENANT = "answer.tenant"
    WORKLOAD = "answer.workload"
    RECIPIENT = "answer.recipient"
    TOKEN = "answer.token"  # noqa: S105 - an id
    TOKEN_CNF = "answer.token.cnf"  # noqa: S105 - an id
    TOKEN_NONCE = "answer.token.nonce"  # noqa: S105 - an id
