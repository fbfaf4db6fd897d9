"""Checks that both of Azure's composites make beside their inner CPU report and the quote part.

The AK is the one of the runtime claims. Its certificate is an extra, not a substitute: where it comes along, it has to be genuine,
current, and of the same key; where it does not, nothing is missing.
"""

from __future__ import annotations

from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from verifier.formats.errors import Failed
from verifier.formats.x509chain import Path
from verifier.tee.azure.claims import RuntimeClaims
from verifier.tee.chain import pinned
from verifier.tee.scheme import Check, Subject
from verifier.tee.tpm2.keys import spki_digest
from verifier.tee.tpm2.layout import ALG_RSASSA
from verifier.tee.vtpm.akcert import chain_steps
from verifier.tee.vtpm.verify import quote_checks

ENDORSEMENTS: Final = frozenset({"ak_cert", "ak_chain"})
# Azure's AKs: RSASSA with SHA-256; other hashes of that strength are let through by the quote's own rules.
SCHEMES: Final = frozenset((ALG_RSASSA,))


ANCHORS: Final = (pinned(__package__, "Azure Virtual TPM Root CA 2023", "azure_vtpm_root_2023.der"),)


def claims_of(subject: Subject[Any, Any]) -> RuntimeClaims:
    """Return the runtime claims, which the inner report vouches for by then."""
    found: RuntimeClaims = subject.evidence.claims
    return found


def ak_of(subject: Subject[Any, Any]) -> rsa.RSAPublicKey:
    """Return the attestation key of the runtime claims."""
    return claims_of(subject).ak()


def ak_digest(claims: RuntimeClaims) -> str:
    """SHA-256 of the AK's SubjectPublicKeyInfo, hex: what names a machine."""
    return spki_digest(claims.ak()).hex()


AK_CHAIN: Final = chain_steps(lambda subject: subject.collateral.ak_chain, ANCHORS)


def require_same_key(path: Path, ak: rsa.RSAPublicKey) -> None:
    """Refuse an AK certificate, its chain verified, of another key than the runtime claims'."""
    key = path.leaf_key()
    numbers = key.public_numbers() if isinstance(key, rsa.RSAPublicKey) else None
    if numbers != ak.public_numbers():
        raise Failed("AK certificate: got another key, want HCLAkPub's")


def _check_key(subject: Subject[Any, Any]) -> None:
    path = AK_CHAIN.found(subject)
    if path is not None:
        require_same_key(path, ak_of(subject))


def azure_checks(scheme: str) -> tuple[Check[Any, Any], ...]:
    """Return the checks of AK certificate and quote, in order. The inner report and the claims' hash came before them."""
    return (
        *AK_CHAIN.checks(f"{scheme}.ak-cert"),
        Check(f"{scheme}.ak-cert.key", _check_key),
        *quote_checks(scheme, ak_of, schemes=SCHEMES),
    )
