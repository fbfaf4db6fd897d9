"""Fuzz targets of NVIDIA's and Arm's evidence, of the parts that lie inside theirs, and of how published cases write them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Literal

from forge.arm_cca import ForgedArm, sign1
from forge.nvidia_gpu import ForgedNvidia
from forge.nvidia_ocsp import ForgedAnswer
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.platforms.nvidia_gpu import CASE
from verifier.formats import cbor
from verifier.formats.errors import CannotDecide, EvidenceRejected, MalformedEvidence
from verifier.formats.x509chain import ChainCache
from verifier.tee.arm_cca import layout as arm_layout
from verifier.tee.arm_cca.decode import decode as decode_token
from verifier.tee.arm_cca.decode import evidence_claims
from verifier.tee.nvidia_gpu.decode import decode
from verifier.tee.nvidia_gpu.verify import CHECKS, GpuCollateral, collate
from verifier.tee.scheme import Subject

NOW = 1_790_000_000
_ARM = ForgedArm(now=NOW)
_GPU = ForgedNvidia()


@cache
def parts(scheme: Literal["nvidia-gpu", "arm-cca"]) -> dict[str, bytes]:
    """Return the parts of one wholesome evidence."""
    return _GPU.parts(bytes(32)) if scheme == "nvidia-gpu" else _ARM.parts(bytes(64))


def seeds() -> dict[str, bytes]:
    """Return one input per target."""
    gpu = parts("nvidia-gpu")
    return {
        "nvidia-gpu-spdm-report": gpu["spdm_report"],
        "nvidia-gpu-cert-chain": gpu["cert_chain"],
        "nvidia-gpu-ocsp": ForgedAnswer(gpu=_GPU, now=NOW).der(),
        "nvidia-gpu-case": b'[{"evidence": "EeAB"}]',
        "arm-cca-token": parts("arm-cca")["cca_token"],
        "arm-cca-realm-claims": cbor.encode(_ARM.realm_claims(bytes(64))),
        "arm-cca-platform-claims": cbor.encode(_ARM.platform_claims()),
    }


def _case(data: bytes) -> None:
    """A file of a case, whatever its encoding says of itself."""
    files = CaseFiles("nvidia-gpu", {"spdm_report.json": data, "cert_chain.json": data}, {}, {}, NOW)
    with contextlib.suppress(MalformedEvidence, CaseError):
        CASE.claims(files)


def _ocsp(data: bytes) -> None:
    """An answer of NVIDIA's, read and judged as one about the device's own certificate."""
    evidence = decode(parts("nvidia-gpu"))
    subject = Subject(evidence, GpuCollateral(), (_GPU.anchor(),), NOW, ChainCache())
    with contextlib.suppress(MalformedEvidence, CannotDecide, EvidenceRejected):
        given = replace(subject, collateral=collate(evidence, {"ocsp_1": data}))
        for check in CHECKS:
            check.run(given)


def _claims(which: Literal["platform", "realm"]) -> Callable[[bytes], None]:
    """Fuzz what lies under a signature, which nobody without the key could put there: the reader holds all the same."""

    def target(data: bytes) -> None:
        realm, platform = cbor.encode(_ARM.realm_claims(bytes(64))), cbor.encode(_ARM.platform_claims())
        tokens = (data, realm) if which == "platform" else (platform, data)
        with contextlib.suppress(MalformedEvidence):
            evidence_claims(decode_token({"cca_token": arm_layout.encode_token(*map(_signed, tokens))}))

    return target


@cache
def _empty() -> bytes:
    return sign1(_ARM.rak, b"")


def _signed(payload: bytes) -> bytes:
    """Return a token with a signature of no use: fuzzing looks at what is read, not at who signed."""
    head, _, signature = _empty().partition(b"\x40")  # an empty payload
    return head + cbor.byte_string(payload) + signature


TARGETS: dict[str, Callable[[bytes], None]] = {
    "nvidia-gpu-case": _case,
    "nvidia-gpu-ocsp": _ocsp,
    "arm-cca-realm-claims": _claims("realm"),
    "arm-cca-platform-claims": _claims("platform"),
}
