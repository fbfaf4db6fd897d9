"""Checks that both of Azure's composites make beside their inner CPU report and the quote part.

The AK is the one of the runtime claims. Its certificate is an extra, not a substitute: where it comes along, it has to be genuine,
current, and of the same key; where it does not, nothing is missing.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import rsa

from verifier.formats.errors import EvidenceRejected
from verifier.formats.x509chain import Anchor
from verifier.tee.azure.claims import RuntimeClaims
from verifier.tee.scheme import Check, Subject
from verifier.tee.tpm2.keys import spki_digest
from verifier.tee.tpm2.layout import ALG_RSASSA
from verifier.tee.vtpm.akcert import AkChain, chain_checks, verified_path
from verifier.tee.vtpm.verify import quote_checks

ENDORSEMENTS: Final = frozenset({"ak_cert", "ak_chain"})
# Azure's AKs: RSASSA with SHA-256; other hashes of that strength are let through by the quote's own rules.
SCHEMES: Final = frozenset((ALG_RSASSA,))


def _pinned() -> Anchor:
    der = files("verifier.tee.azure").joinpath("anchors", "azure_vtpm_root_2023.der").read_bytes()
    return Anchor("Azure Virtual TPM Root CA 2023", der, "vendor")


ANCHORS: Final = (_pinned(),)


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


def _chain(subject: Subject[Any, Any]) -> AkChain | None:
    found: AkChain | None = subject.collateral.ak_chain
    return found


def require_same_key(subject: Subject[Any, Any], chain: AkChain, scheme: str) -> None:
    """Refuse an AK certificate, its chain verified, of another key than the runtime claims'."""
    key = verified_path(subject, chain, scheme, ANCHORS).leaf_key()
    numbers = key.public_numbers() if isinstance(key, rsa.RSAPublicKey) else None
    if numbers != ak_of(subject).public_numbers():
        raise EvidenceRejected(f"{scheme}.ak-cert.key", "AK certificate: got another key, want HCLAkPub's")


def azure_checks(scheme: str) -> tuple[Check[Any, Any], ...]:
    """Return the checks of AK certificate and quote, in order. The inner report and the claims' hash came before them."""

    def check_key(subject: Subject[Any, Any]) -> None:
        chain = _chain(subject)
        if chain is not None:
            require_same_key(subject, chain, scheme)

    return (
        *chain_checks(scheme, _chain, ANCHORS),
        Check(f"{scheme}.ak-cert.key", check_key, remedy="send the certificate of NV index 0x01C101D0 of this machine"),
        *quote_checks(scheme, ak_of, schemes=SCHEMES),
    )
