"""Is the report genuine? Chain from NVIDIA's pinned root, signature, and the tie between report and leaf.

What each check means, and what is not checked (NVIDIA's own reference measurements), stands in
docs/tee/nvidia-gpu.md. The signature comes right after the chain: nothing that the report says is
compared before.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from verifier.formats import ecdsa
from verifier.formats.errors import Failed, mismatch
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE, SignatureAlgorithm
from verifier.formats.x509chain import Path, Profile, require_usage
from verifier.tee.chain import ChainSteps, find
from verifier.tee.nvidia_gpu.decode import GpuEvidence, read_fwid
from verifier.tee.nvidia_gpu.ocsp import KIND, Answer, check_answer, key_of, read_answer
from verifier.tee.scheme import Check, Need, Subject, Verified

NAME: Final = "nvidia-gpu"
PROFILE: Final = Profile(algorithms=frozenset({SignatureAlgorithm("ecdsa", "sha384")}))


@dataclass(frozen=True, slots=True)
class GpuCollateral:
    """What NVIDIA's OCSP service said of the certificates, by place in the chain (1: the device's own); unverified."""

    answers: Mapping[int, Answer] = field(default_factory=dict)


Gpu: TypeAlias = Subject[GpuEvidence, GpuCollateral]


def _asked(evidence: GpuEvidence) -> range:
    """Which certificates NVIDIA answers for: neither the leaf, which the device made itself, nor the root."""
    return range(1, len(evidence.chain) - 1)


def needs(evidence: GpuEvidence, _have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask whether the certificates were revoked. No answer is required: whether a site wants one is the rule's to say."""
    keys = {place: key_of(evidence.chain[place], evidence.chain[place + 1]) for place in _asked(evidence)}
    return tuple(Need(f"ocsp_{place}", KIND, key, required=False) for place, key in keys.items() if key)


def collate(evidence: GpuEvidence, given: Mapping[str, bytes]) -> GpuCollateral:
    """Read the answers that are there; ``MalformedEvidence('nvidia-gpu.endorsement.ocsp')`` for one that cannot be read."""
    names = {place: f"ocsp_{place}" for place in _asked(evidence)}
    return GpuCollateral({place: read_answer(given[name]) for place, name in names.items() if name in given})


def _shape(path: Path) -> None:
    """The leaf is the key of a device's firmware."""
    if path.leaf.is_ca:
        raise Failed("chain[0]: got a CA, want the key of a device's firmware")
    require_usage(path.leaf, USAGE_DIGITAL_SIGNATURE)


CHAIN: Final = ChainSteps(lambda subject: subject.evidence.chain, PROFILE, _shape)


def _check_report_signature(subject: Gpu) -> None:
    evidence = subject.evidence
    key = CHAIN.path(subject).leaf_key()
    if not ecdsa.is_key_of(key, ecdsa.ES384):
        raise Failed(mismatch("leaf key", type(key).__name__, "P-384"))
    if not ecdsa.is_signed(key, ecdsa.ES384, evidence.signature, evidence.signed):
        raise Failed("spdm_report.signature: does not verify with the leaf's key")


def _check_fwid(subject: Gpu) -> None:
    """The firmware that signed is the one that the device's own key measured when it made the leaf."""
    evidence = subject.evidence
    seen = evidence.field("fwid")
    if seen is None and (evidence.is_switch or not evidence.opaque):
        return  # switches have no such field, nor has a report without any
    want = read_fwid(evidence.leaf)
    if seen is None or want is None or not hmac.compare_digest(seen, want):
        got = "nothing" if seen is None else seen.hex()
        detail = mismatch("opaque field 20 (FWID)", got, "none" if want is None else f"the leaf's {want.hex()}")
        raise Failed(detail)


def _told(subject: Gpu) -> Iterator[tuple[int, Path, Answer]]:
    """Yield each answer about a certificate of the path, and that one's place from the root down."""
    path = CHAIN.path(subject)
    for place, answer in sorted(subject.collateral.answers.items()):
        if 0 < place < len(path.certificates) - 1:
            yield len(path.certificates) - 1 - place, path, answer


def _check_ocsp(subject: Gpu) -> None:
    for place, path, answer in _told(subject):
        check_answer(answer, path, place, subject.chains, subject.now)


def _check_revoked(subject: Gpu) -> None:
    for place, path, answer in _told(subject):
        if answer.status == "revoked":
            where = f"chain[{len(path.certificates) - 1 - place}]"
            why = answer.reason or "no reason given"
            raise Failed(f"{where}: got revoked ({why}), want good")


def revocation(verified: Verified[GpuEvidence, GpuCollateral]) -> Mapping[str, str]:
    """Say what is known of each certificate that NVIDIA answers for: ``good``, ``unknown``, ``not asked``."""
    path = find(verified.evidence.chain, verified.anchors)
    places = range(1, len(path.certificates) - 1) if path is not None else ()
    answers = verified.collateral.answers
    return {f"chain[{place}]": answers[place].status if place in answers else "not asked" for place in places}


CHECKS: Final[tuple[Check[GpuEvidence, GpuCollateral], ...]] = (
    *CHAIN.checks(f"{NAME}.chain"),
    Check("nvidia-gpu.report.signature", _check_report_signature),
    Check("nvidia-gpu.fwid", _check_fwid),
    Check("nvidia-gpu.endorsement.ocsp", _check_ocsp),
    Check("nvidia-gpu.chain.revoked", _check_revoked),
)
