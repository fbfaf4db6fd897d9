"""Fuzz targets of the clouds' vTPMs: HCL report, runtime claims, TDREPORT, Google's instance identity, quotes in three forms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal, get_args

from forge.azure import ForgedAzure, ForgedAzureTdx, make_tdreport
from forge.gcp_vtpm import INSTANCE, ForgedGcp
from forge.intel import ForgedIntel
from forge.sev_snp import ForgedAmd
from verifier.core.binding import BindingDigest
from verifier.formats.errors import MalformedEvidence
from verifier.tee.azure.claims import decode_claims
from verifier.tee.azure.layout import decode_tdreport, tdreport_layout
from verifier.tee.gcp_vtpm.layout import decode_instance, encode_instance
from verifier.tee.vtpm.akcert import without_padding

NOW = 1_790_000_000
Cloud = Literal["azure-snp-vtpm", "azure-tdx-vtpm", "gcp-vtpm"]
CLOUDS: tuple[Cloud, ...] = get_args(Cloud)
_DIGEST = BindingDigest(bytes(64), bytes(32))


@lru_cache(maxsize=1)
def _azure() -> ForgedAzure:
    return ForgedAzure(ForgedAmd("Milan", now=NOW), now=NOW, label="fuzz")


@lru_cache(maxsize=1)
def _azure_tdx() -> ForgedAzureTdx:
    return ForgedAzureTdx(ForgedIntel(now=NOW), now=NOW, label="fuzz")


@cache
def parts(scheme: Cloud) -> dict[str, bytes]:
    """Return the parts of one wholesome evidence."""
    if scheme == "azure-snp-vtpm":
        return _azure().parts(_DIGEST)
    if scheme == "azure-tdx-vtpm":
        return _azure_tdx().parts(_DIGEST)
    return ForgedGcp(now=NOW, label="fuzz").parts(_DIGEST)


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    return {
        "azure-runtime-claims": _azure().claims(),
        "azure-tdreport": make_tdreport(bytes(64), _azure_tdx().td),
        "azure-ak-certificate": _azure().ak_certificate(),
        "gcp-instance-identity": encode_instance(INSTANCE),
        "azure-snp-vtpm-hcl-report": parts("azure-snp-vtpm")["hcl_report"],
        "azure-tdx-vtpm-hcl-report": parts("azure-tdx-vtpm")["hcl_report"],
        **{f"{name}-quote": parts(name)["quote"] for name in CLOUDS},
        **{f"{name}-quote-sig": parts(name)["quote_sig"] for name in CLOUDS},
    }


def _claims(data: bytes) -> None:
    """What is read once is read twice, and has one attestation key that can be made."""
    with contextlib.suppress(MalformedEvidence):
        if decode_claims(data, "fuzz").ak().key_size < 2048:
            raise AssertionError("runtime claims: a small key was let in")


def _tdreport(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        if tdreport_layout("fuzz").encode(decode_tdreport(data, check_id="fuzz")) != data:
            raise AssertionError("TDREPORT: decodes, and encodes to other bytes")


def _instance(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        if encode_instance(decode_instance(data, "fuzz")) != data:
            raise AssertionError("instance identity: decodes, and encodes to other bytes")


def _padded(data: bytes) -> None:
    with contextlib.suppress(MalformedEvidence):
        kept = without_padding(data, "fuzz")
        if not data.startswith(kept) or any(data[len(kept) :]):
            raise AssertionError("AK certificate: more than padding was taken off")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "azure-runtime-claims": _claims,
    "azure-tdreport": _tdreport,
    "azure-ak-certificate": _padded,
    "gcp-instance-identity": _instance,
}
