"""TPM enrolment, the pure part: which EK may vouch for which AK (docs/tee/tpm2.md, "Enrolment").

Checked: the EK's public area is its certificate's key, the chain ends in an operator's own root, the key carries no ROCA
fingerprint and is a storage key that never leaves its TPM; the AK is restricted, signs only, was born in its TPM and stays there.
Not checked: whether EK and AK live in one TPM (only the activated credential proves that), whether the EK may enrol at all
(list or ticket: the service), revocation under an anchor that names no CRL.
Sources: TCG EK Credential Profile 2.5; TPM 2.0 Library Part 2, section 8.3 (TPMA_OBJECT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from verifier.core.ports import RandomSource
from verifier.formats.errors import EvidenceRejected, MalformedEvidence, named
from verifier.formats.x509 import (
    OID_EXTENDED_KEY_USAGE,
    OID_SUBJECT_ALT_NAME,
    USAGE_KEY_AGREEMENT,
    USAGE_KEY_ENCIPHERMENT,
    Certificate,
    parse_certificate,
    parse_crl,
)
from verifier.formats.x509chain import Anchor, ChainCache, ChainIds, Profile, require_path, verify_chain
from verifier.tee.tcg.layout import STRONG_HASHES
from verifier.tee.tpm2.credential import protect
from verifier.tee.tpm2.ids import EnrolmentId
from verifier.tee.tpm2.keys import Key, load_public, spki, spki_digest
from verifier.tee.tpm2.layout import (
    ADMIN_WITH_POLICY,
    ALG_ECC,
    ALG_ECDSA,
    ALG_RSAPSS,
    ALG_RSASSA,
    DECRYPT,
    FIXED_PARENT,
    FIXED_TPM,
    RESTRICTED,
    SENSITIVE_DATA_ORIGIN,
    SIGN,
    USER_WITH_AUTH,
    Public,
    decode_public,
    name_of,
)
from verifier.tee.tpm2.roca import is_roca

_IDS = ChainIds.named(EnrolmentId, "EK")
# EK certificates name TPM and platform in a subjectAltName, critical where the subject is empty (RFC 5280 section 4.2.1.6), and
# some mark their purpose critical (swtpm_localca does). Neither says anything that is judged here.
_PROFILE = Profile(tolerated=frozenset({OID_SUBJECT_ALT_NAME, OID_EXTENDED_KEY_USAGE}))
_OID_EK_CERTIFICATE = bytes.fromhex("06056781050801")  # 2.23.133.8.1, tcg-kp-EKCertificate, in DER
_OID_ANY_PURPOSE = bytes.fromhex("0604551d2500")  # 2.5.29.37.0

_AK_MUST = {
    "restricted": RESTRICTED,
    "sign": SIGN,
    "fixedTPM": FIXED_TPM,
    "fixedParent": FIXED_PARENT,
    "sensitiveDataOrigin": SENSITIVE_DATA_ORIGIN,
}
_EK_MUST = {
    "restricted": RESTRICTED,
    "decrypt": DECRYPT,
    "fixedTPM": FIXED_TPM,
    "fixedParent": FIXED_PARENT,
    "sensitiveDataOrigin": SENSITIVE_DATA_ORIGIN,
}
_SIGNING = {ALG_ECC: (ALG_ECDSA,)}


@dataclass(frozen=True, slots=True)
class EkIdentity:
    """An endorsement key: SHA-256 of its SubjectPublicKeyInfo, the Name of its public area, both as raw bytes."""

    digest: bytes
    name: bytes
    public: Public


@dataclass(frozen=True, slots=True)
class AkIdentity:
    """An attestation key: its Name, recomputed from the public area."""

    name: bytes
    public: Public


def ak_faults(public: Public) -> list[str]:
    """Say what keeps a key from being an attestation key; empty for a good one."""
    faults = [f"{name} is clear, want it set" for name, bit in _AK_MUST.items() if not public.attributes & bit]
    if public.attributes & DECRYPT:
        faults.append("decrypt is set, want it clear")
    wanted = _SIGNING.get(public.type, (ALG_RSASSA, ALG_RSAPSS))
    if public.scheme is None or public.scheme[0] not in wanted or public.scheme[1] not in STRONG_HASHES:
        faults.append(f"scheme: got {public.scheme}, want a signing scheme with SHA-256 or stronger")
    if public.name_algorithm not in STRONG_HASHES:
        faults.append(f"nameAlg: got {public.name_algorithm:#06x}, want SHA-256 or stronger")
    return faults


def check_ak(ak_public: bytes) -> AkIdentity:
    """Judge an AK by its TPMT_PUBLIC: an unrestricted key would pass activation and then sign any forged quote."""
    public = decode_public(ak_public, check_id=EnrolmentId.AK_PUBLIC)
    load_public(public, EnrolmentId.AK_PUBLIC)
    faults = ak_faults(public)
    if faults:
        raise EvidenceRejected(EnrolmentId.AK_ATTRIBUTES, f"AK: {'; '.join(faults)}")
    return AkIdentity(name_of(public), public)


def describe_ek(ek_public: bytes) -> EkIdentity:
    """Read an EK's TPMT_PUBLIC; says how it is named, not whether it is to be trusted."""
    public, key = _read_ek(ek_public)
    return EkIdentity(spki_digest(key), name_of(public), public)


def _read_ek(ek_public: bytes) -> tuple[Public, Key]:
    public = decode_public(ek_public, check_id=EnrolmentId.EK_PUBLIC)
    return public, load_public(public, EnrolmentId.EK_PUBLIC)


def check_ek(
    ek_chain: Sequence[bytes], ek_public: bytes, anchors: Sequence[Anchor], now: int, chains: ChainCache
) -> EkIdentity:
    """Judge an EK: ``ek_chain`` is DER certificates, leaf first; ``anchors`` the operator's own; ``now`` in Unix seconds.

    Where the anchor has a CRL, that CRL is required: stale or not the anchor's is ``CannotDecide('tpm2.enrolment.ek-crl')``.
    """
    if not ek_chain:
        raise MalformedEvidence(EnrolmentId.EK_CHAIN, "ek_chain: got nothing, want the EK certificate")
    certificates = tuple(
        parse_certificate(der, EnrolmentId.EK_CHAIN, f"ek_chain[{i}]") for i, der in enumerate(ek_chain)
    )
    public, key = _read_ek(ek_public)
    with named(_IDS.root):
        crl_der = require_path(certificates, anchors).anchor.crl_der
    crls = (parse_crl(crl_der, EnrolmentId.EK_CRL),) if crl_der else ()
    path = verify_chain(
        certificates,
        anchors,
        now=now,
        ids=_IDS,
        cache=chains,
        crls=crls,
        required_crls=(0,) if crls else (),
        profile=_PROFILE,
    )
    _check_usage(path.leaf)
    if spki(key) != path.leaf.spki:
        raise EvidenceRejected(EnrolmentId.EK_KEY, "ek_public: another key than the EK certificate's")
    _check_ek_attributes(public)
    if isinstance(key, rsa.RSAPublicKey) and is_roca(key.public_numbers().n):
        raise EvidenceRejected(
            EnrolmentId.EK_ROCA, "EK: its modulus carries the ROCA fingerprint (CVE-2017-15361), want a sound key"
        )
    return EkIdentity(spki_digest(key), name_of(public), public)


def _check_usage(leaf: Certificate) -> None:
    """An EK certificate is no CA, and where it states a usage, that is encryption or key agreement."""
    if leaf.is_ca:
        raise EvidenceRejected(EnrolmentId.EK_USAGE, "EK certificate: got a CA, want none")
    if leaf.key_usage is not None and not leaf.key_usage & {USAGE_KEY_ENCIPHERMENT, USAGE_KEY_AGREEMENT}:
        raise EvidenceRejected(
            EnrolmentId.EK_USAGE,
            f"EK certificate keyUsage: got bits {sorted(leaf.key_usage)}, want keyEncipherment or keyAgreement",
        )
    purpose = leaf.extensions.get(OID_EXTENDED_KEY_USAGE)
    if purpose is not None and _OID_EK_CERTIFICATE not in purpose.value and _OID_ANY_PURPOSE not in purpose.value:
        raise EvidenceRejected(EnrolmentId.EK_USAGE, "EK certificate extendedKeyUsage: want tcg-kp-EKCertificate")


def _check_ek_attributes(public: Public) -> None:
    faults = [f"{name} is clear, want it set" for name, bit in _EK_MUST.items() if not public.attributes & bit]
    if public.attributes & SIGN:
        faults.append("sign is set, want it clear")
    if not public.attributes & (ADMIN_WITH_POLICY | USER_WITH_AUTH):
        faults.append("adminWithPolicy and userWithAuth are clear, want one set")
    if public.name_algorithm not in STRONG_HASHES:
        faults.append(f"nameAlg: got {public.name_algorithm:#06x}, want SHA-256 or stronger")
    if faults:
        raise EvidenceRejected(EnrolmentId.EK_ATTRIBUTES, f"EK: {'; '.join(faults)}")


def make_credential(ek_public: bytes, ak_name: bytes, secret: bytes, random: RandomSource) -> tuple[bytes, bytes]:
    """Protect ``secret`` for the TPM of ``ek_public`` and the object ``ak_name``.

    Returns the contents of TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET (without their outer sizes).
    """
    return protect(decode_public(ek_public, check_id=EnrolmentId.EK_PUBLIC), ak_name, secret, random)
