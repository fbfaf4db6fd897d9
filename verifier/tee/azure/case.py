"""Cases of Azure's confidential VMs: what both platforms share. The CPU part is judged by its own platform's case form.

A case may hold the whole HCL report or its request data alone (``runtime_data.bin``), a vTPM quote or none, an AK certificate or
none. Without a quote nothing in it is fresh: a nonce then is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

from verifier.core.errors import EvidenceRejected
from verifier.tee.azure.claims import RuntimeClaims
from verifier.tee.azure.layout import PADDED_SIZES
from verifier.tee.azure.verify import ANCHORS, SCHEMES
from verifier.tee.case import CaseFiles
from verifier.tee.vtpm.case import (
    ak_certificate,
    ak_chain,
    certificate_claims,
    judge_quotes,
    quotes_of,
    verified_ak_path,
)
from verifier.tee.vtpm.quote import quote_claims


def as_read_from_tpm(data: bytes) -> bytes:
    """Give a report whose publisher cut the NV index's zeros off its padding back; more than zeros is never added."""
    return data.ljust(PADDED_SIZES[0], b"\0") if len(data) < PADDED_SIZES[0] and len(data) not in PADDED_SIZES else data


def inner_files(files: CaseFiles, platform: str, evidence: Mapping[str, bytes], policy: Mapping[str, Any]) -> CaseFiles:
    """Return the CPU part of a case as a case of its own platform."""
    return replace(files, platform=platform, evidence={**files.evidence, **evidence}, policy=policy)


def judge_vtpm(files: CaseFiles, claims: RuntimeClaims, scheme: str) -> None:
    """Refuse an AK certificate or a quote that does not fit the runtime claims, which the CPU report vouches for by now."""
    key = claims.ak()
    leaf = ak_certificate(files, scheme)
    if leaf is not None:
        certified = verified_ak_path(files, ak_chain(files, scheme, leaf), scheme, ANCHORS).leaf_key()
        if not isinstance(certified, rsa.RSAPublicKey) or certified.public_numbers() != key.public_numbers():
            raise EvidenceRejected(f"{scheme}.ak-cert.key", "AK certificate: got another key, want HCLAkPub's")
    judge_quotes(files, key, scheme, schemes=SCHEMES)


def vtpm_case_claims(files: CaseFiles, scheme: str) -> dict[str, Any]:
    """Say what quote and AK certificate hold."""
    quotes = quotes_of(files, scheme)
    claims: dict[str, Any] = {"tpm": quote_claims(quotes[0].quote)} if quotes else {}
    return {**claims, **certificate_claims(files, scheme)}
