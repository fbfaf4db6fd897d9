"""Cases of Azure's confidential VMs: what both platforms share. The CPU part is judged by its own platform's case form.

A case may hold the whole HCL report or its request data alone (``runtime_data.bin``), a vTPM quote or none, an AK certificate or
none. Without a quote nothing in it is fresh: a nonce then is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from verifier.cases.form import CaseFiles
from verifier.cases.platforms.vtpm import (
    ak_certificate,
    ak_chain,
    certificate_claims,
    judge_quotes,
    quotes_of,
    verified_ak_path,
)
from verifier.formats.errors import named
from verifier.tee.azure.claims import RuntimeClaims
from verifier.tee.azure.layout import HEADER_SIZE, PADDED_SIZES
from verifier.tee.azure.verify import ANCHORS, SCHEMES, require_same_key
from verifier.tee.tpm2.quote import quote_claims

_REPORT_SIZE: Final = slice(8, 12)  # in the header: how long the report is without padding


def as_read_from_tpm(data: bytes) -> bytes:
    """Give a whole report, with fewer or more zeros after it than the NV index has, the NV index's own number of them."""
    size = int.from_bytes(data[_REPORT_SIZE], "little")
    is_whole = HEADER_SIZE < size <= min(len(data), PADDED_SIZES[0])
    if len(data) in PADDED_SIZES or not is_whole or any(data[size:]):
        return data
    return data[:size].ljust(PADDED_SIZES[0], b"\0")


def inner_files(files: CaseFiles, platform: str, evidence: Mapping[str, bytes], policy: Mapping[str, Any]) -> CaseFiles:
    """Return the CPU part of a case as a case of its own platform."""
    return replace(files, platform=platform, evidence={**files.evidence, **evidence}, policy=policy)


def judge_vtpm(files: CaseFiles, claims: RuntimeClaims, scheme: str) -> None:
    """Refuse an AK certificate or a quote that does not fit the runtime claims, which the CPU report vouches for by now."""
    key = claims.ak()
    leaf = ak_certificate(files, scheme)
    if leaf is not None:
        path = verified_ak_path(files, ak_chain(files, scheme, leaf), scheme, ANCHORS)
        with named(f"{scheme}.ak-cert.key"):
            require_same_key(path, key)
    judge_quotes(files, key, scheme, schemes=SCHEMES)


def vtpm_case_claims(files: CaseFiles, scheme: str) -> dict[str, Any]:
    """Say what quote and AK certificate hold."""
    quotes = quotes_of(files, scheme)
    said = quote_claims(quotes[0].quote) if quotes else {}
    said.pop("qualified_signer", None)
    claims: dict[str, Any] = {"tpm": said} if said else {}
    return {**claims, **certificate_claims(files, scheme)}
