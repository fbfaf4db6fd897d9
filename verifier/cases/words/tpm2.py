"""TPM 2.0 quotes in words: what each claim of a quote means, and what to change when a check says no."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from verifier.cases.words.tcg_eventlog import LOG_WORDS

QUOTE_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "bank": "hash algorithm of the PCRs that were quoted",
        "qualified_signer": "name of the key that signed, with the hierarchy above it",
        "extra_data": "what was asked to be signed with the quote: the nonce, or the binding to challenge, keys and request",
        "clock": "milliseconds that the TPM has been powered, over its life",
        "reset_count": "how often the machine was reset",
        "restart_count": "how often it was resumed since the last reset",
        "safe": "whether the clock is certain not to have gone back",
        "firmware": "version of the TPM's firmware, in the vendor's own form",
        "pcr_select": "PCRs that were quoted, by bank",
        "pcr_digest": "digest over the values of all quoted PCRs",
    }
)

WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **QUOTE_WORDS,
        "quotes": "the quotes, each with its own selection",
        **{f"quotes.{name}": text for name, text in QUOTE_WORDS.items()},
        "ak_name": "name of the attestation key: the digest of its public area",
        "ak_type": "kind of the attestation key",
        "ak_cert_subject": "whom the attestation key's certificate names",
        "pcrs": "PCR values that came with the quote, by bank; they count where they hash to its digest",
        "log": "the event log that came with the quote",
        **{f"log.{name}": text for name, text in LOG_WORDS.items()},
        "ima": "the list of measured files that came with the quote",
        "ima.entries": "how many entries the list has",
        "ima.quoted_entries": "how many of them the quoted PCR 10 bears out; what follows was measured after the quote",
        "ima.template": "which templates the entries are written in",
        "ima.violations": "how many quoted entries say that a file was written to while it was measured",
    }
)

REMEDIES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tpm2.ak.enrolled": "enrol the attestation key (attester enrol), or undo its revocation",
        "tpm2.ak.name": "enrol this attestation key anew: what is enrolled is another key",
        "tpm2.ak.attributes": "make a restricted signing key that cannot leave its TPM, and enrol that",
        "tpm2.quote.magic": "send what the TPM signed itself: this structure was made by something else",
        "tpm2.quote.type": "send a quote (TPM2_Quote), not another attestation structure",
        "tpm2.quote.scheme": "quote with the key's own scheme and SHA-256 or stronger",
        "tpm2.quote.signature": "send the quote unchanged, signed by the enrolled attestation key",
        "tpm2.quote.qualified-signer": "make the attestation key in the endorsement hierarchy, or under the enrolled EK",
        "tpm2.quote.selection": "quote PCRs of exactly one bank, SHA-256 or stronger",
        "tpm2.pcrs.selection": "send the values of exactly the quoted PCRs",
        "tpm2.pcrs.digest": "read the PCRs again and quote anew: an extend in between, or a change on the way, parted them",
        "tpm2.pcrs.zero": "use a machine whose firmware measures its boot into this bank, or switch the bank on in its setup",
        "tpm2.eventlog.replay": "send the log of this very boot, whole and unchanged",
        "tpm2.eventlog.data": "do not believe what the log says of this event: its data were changed after they were measured",
        "tpm2.decode.ascii_runtime_measurements": "send /sys/kernel/security/ima/ascii_runtime_measurements as the kernel prints it",
        "tpm2.ima.template": "send the list as the kernel prints it: something changed an entry on its way",
        "tpm2.ima.replay": "quote PCR 10, then read the whole list of the same boot; update a kernel that is older than 5.8",
        "tpm2.decode.ak_pub": "give the attestation key as one PEM public key, RSA of 2048 bits or more, or a NIST curve",
        "tpm2.decode.ak_cert": "give the attestation key's certificate, DER or PEM, with a key of a kind that TPMs have",
        "tpm2.decode.pcrs": 'give the PCR values as {"sha256": {"0": "<hex>"}}, each once, at their full length',
        "tpm2.ak-cert.root": "give a chain that ends in a root which the verifier was told to trust",
        "tpm2.ak-cert.signature": "give the chain that issued this certificate",
        "tpm2.ak-cert.validity": "give certificates that are valid at this time, and look at the clock",
        "tpm2.ak-cert.constraints": "have the CA issue certificates that may do what they are used for",
        "tpm2.ak-cert.revoked": "do not trust this key: its CA revoked it",
        "tpm2.ak-cert.crl": "give a revocation list of this CA that is valid at this time",
        "tpm2.ak-cert.key": "give the certificate of the very key that is stated beside it",
        "tpm2.endorsement.ak-cert": "give the attestation key: its certificate, or the key as it was enrolled",
        "tpm2.endorsement.ak": "enrol the attestation key, and give the verifier its store",
    }
)
