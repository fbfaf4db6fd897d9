"""Published cases of NVIDIA devices, judged offline (docs/cases.md). Nothing judged here can mint.

Evidence comes as binary, as hex text, or as JSON with base64 (NVIDIA's own tools write all three); PEM with any line ends.
``nvidia_device_identity_ca.pem`` is never an anchor: the root is pinned.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final

from verifier.cases.form import CaseFiles, CaseForm, CaseVerdict, IncompleteCase
from verifier.cases.reading import by_stem, hex_value, require_known, required, verdict_of, verified_by
from verifier.cases.words import words_of
from verifier.formats import strict_json
from verifier.formats.errors import MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import Certificate, parse_certificate
from verifier.tee.nvidia_gpu import layout
from verifier.tee.nvidia_gpu.decode import GpuEvidence, decode, evidence_claims
from verifier.tee.nvidia_gpu.layout import DECODE_CHAIN, DECODE_REPORT
from verifier.tee.nvidia_gpu.scheme import SCHEME
from verifier.tee.nvidia_gpu.verify import GpuCollateral

_HEX = re.compile(rb"(?:[0-9a-fA-F]{2}\s*)+")
# Under which names NVIDIA's tools keep them in JSON.
_REPORT_KEYS: Final = ("evidence", "spdm_report", "attestation_report", "report")
_CHAIN_KEYS: Final = ("certificate", "cert_chain", "certificate_chain", "attestation_cert_chain")


def _from_json(data: bytes, keys: tuple[str, ...], check_id: str) -> bytes:
    """Take a base64 member out of an object, or out of a list of one."""
    try:
        read = strict_json.read(data)
        return base64.b64decode("".join(_member(read, keys).split()), validate=True)
    except ValueError as error:
        raise MalformedEvidence(check_id, f"JSON: {error}") from None


def _member(read: Any, keys: tuple[str, ...]) -> str:
    if isinstance(read, list) and len(read) == 1:
        read = read[0]
    found = [read[key] for key in keys if key in read] if isinstance(read, dict) else [read]
    if len(found) != 1 or not isinstance(found[0], str):
        raise ValueError(f"want one text, or an object with one of {list(keys)}")
    return found[0]


def _plain(data: bytes, keys: tuple[str, ...], check_id: str) -> bytes:
    """Undo JSON with base64, hex and base64 text; what is neither stays as it is."""
    if data.lstrip()[:1] in (b"{", b"[", b'"'):
        data = _from_json(data, keys, check_id)
    text = data.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.decode("ascii"))
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        return data


def _report(files: CaseFiles) -> bytes:
    data = required(by_stem(files, "spdm_report"), "spdm_report.bin", DECODE_REPORT)
    start = bytes((layout.SPDM_1_1, layout.GET_MEASUREMENTS))
    return data if data.startswith(start) else _plain(data, _REPORT_KEYS, DECODE_REPORT)


def _chain(files: CaseFiles) -> bytes:
    """Return the chain in its one strict form, leaf first whatever the order in which it came."""
    data = by_stem(files, "cert_chain")
    if data is None:
        data = by_stem(files, "spdm_report")  # NVIDIA's evidence in JSON holds both
        if data is None or data.lstrip()[:1] not in (b"{", b"["):
            raise IncompleteCase(DECODE_CHAIN, "evidence: got no cert_chain.pem, want it")
    if b"-----BEGIN" not in data:
        data = _plain(data, _CHAIN_KEYS, DECODE_CHAIN)
    try:
        blocks = pem_blocks(data, "CERTIFICATE")
    except ValueError as error:
        raise MalformedEvidence(DECODE_CHAIN, f"cert_chain: {error}") from None
    return layout.encode_chain(_leaf_first(blocks))


def _leaf_first(blocks: Sequence[bytes]) -> Sequence[bytes]:
    """Put certificates in order by their names; what is no single chain stays as it came, and is refused as such.

    A chain that came without its root is given the pinned one, which is what it is verified against anyway.
    """
    read = [parse_certificate(der, DECODE_CHAIN, f"cert_chain[{i}]") for i, der in enumerate(blocks)]
    if read and not any(certificate.self_issued for certificate in read):
        read.append(SCHEME.verification.anchors[0].certificate)
    by_issuer = {certificate.issuer: certificate for certificate in read if not certificate.self_issued}
    top = next((certificate for certificate in read if certificate.self_issued), None)
    ordered: list[Certificate] = []
    while top is not None and top not in ordered:
        ordered.append(top)
        top = by_issuer.get(top.subject)
    return [c.der for c in reversed(ordered)] if len(ordered) == len(read) else blocks


def _evidence(files: CaseFiles) -> GpuEvidence:
    return decode({"spdm_report": _report(files), "cert_chain": _chain(files)})


def _judge(files: CaseFiles) -> CaseVerdict:
    require_known(files.policy, CASE.policy_keys)
    nonce = hex_value(files.policy, "nonce")
    return verdict_of(verified_by(SCHEME, files, _evidence(files), GpuCollateral(), nonce))


CASE: Final = CaseForm(
    platform="nvidia-gpu",
    policy_keys=frozenset({"nonce"}),
    claims=lambda files: evidence_claims(_evidence(files)),
    judge=_judge,
    words=words_of("nvidia_gpu"),
)
