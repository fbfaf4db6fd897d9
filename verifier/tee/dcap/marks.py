"""Never-falling numbers of Intel's documents: of genuine ones only, so that nobody can raise a mark with a forgery.

[T] the same quote on the same day is accepted with one genuine TCB info and out of date with another: several evaluation numbers
are in force at once, and whoever serves the older one decides. So neither the evaluation number nor the issue date may fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from verifier.formats.encoding import sha256
from verifier.formats.errors import BridgeError, Failed
from verifier.formats.x509 import Certificate, parse_crl
from verifier.formats.x509chain import Anchor, ChainCache, check_constraints, check_signatures, find_path, is_crl_of
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo
from verifier.tee.dcap.endorse import DcapCollateral, crl_der, endorsement_id, read_documents
from verifier.tee.dcap.pck import ordered, read_chain
from verifier.tee.dcap.steps import PROFILE, Dcap, DocumentSteps, qe_identity_steps, tcb_info_steps
from verifier.tee.scheme import Mark, Subject

_NUMBERS: Final = 1 << 159  # RFC 5280, section 5.2.3: at most 20 octets, signed


def marks_of(scheme: str, found: Mapping[str, bytes], anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return the marks of what was fetched, by need name; nothing for what is not genuine or cannot be read."""
    marks: list[Mark] = []
    for steps in (tcb_info_steps(scheme), qe_identity_steps(scheme)):
        marks += _document(scheme, steps, found, anchors)
    marks += _crl(scheme, "root_crl", found, tuple(anchor.certificate for anchor in anchors))
    marks += _crl(scheme, "pck_crl", found, _pck_cas(found, anchors))
    return tuple(marks)


def _document(
    scheme: str, steps: DocumentSteps, found: Mapping[str, bytes], anchors: tuple[Anchor, ...]
) -> tuple[Mark, ...]:
    names = (steps.name, f"{steps.name}_chain")
    if any(name not in found for name in names):
        return ()
    try:
        collateral = read_documents(scheme, {name: found[name] for name in names})
        document = steps.document(_subject(collateral, anchors, 0))
        # Judged at its own issue date: a mark says that it was issued, not that it is still in force.
        subject = _subject(collateral, anchors, document.issued)
        steps.chain(subject)
        steps.signature(subject)
    except (BridgeError, Failed):
        return ()
    signer = steps.signer.path(subject)
    issuer = f"{_key(signer.certificates[0])}:{steps.name}:{_of(document)}"
    return (
        Mark(steps.name, f"{issuer}:evaluation", document.evaluation_number),
        Mark(steps.name, f"{issuer}:issued", document.issued),
    )


def _of(document: TcbInfo | QeIdentity) -> str:
    return f"{document.id}:{document.fmspc}:{document.pceid}" if isinstance(document, TcbInfo) else document.id


def _key(certificate: Certificate) -> str:
    return f"intel:{sha256(certificate.subject + certificate.spki).hex()}"


def _subject(collateral: DcapCollateral, anchors: tuple[Anchor, ...], now: int) -> Dcap:
    return Subject(None, collateral, anchors, now, ChainCache(16))


def _pck_cas(found: Mapping[str, bytes], anchors: tuple[Anchor, ...]) -> tuple[Certificate, ...]:
    """Return the CAs of PCK certificates that stand under an anchor: beside the CRL, or in a PCK chain that was fetched."""
    cas: list[Certificate] = []
    for name in ("pck_crl", "pck_chain"):
        data = found.get(name, b"")
        if b"-----BEGIN CERTIFICATE-----" not in data:
            continue
        try:
            certificates = read_chain(_certificates_only(data), "marks", name)
        except BridgeError:
            continue
        cas += [c for c in certificates if c.is_ca and _is_under(c, certificates, anchors)]
    return tuple(cas)


def _certificates_only(data: bytes) -> bytes:
    """Drop what stands before the first certificate: the CRL that they are the issuers of."""
    return data[data.index(b"-----BEGIN CERTIFICATE-----") :]


def _is_under(ca: Certificate, certificates: tuple[Certificate, ...], anchors: tuple[Anchor, ...]) -> bool:
    path = find_path(ordered(certificates, ca), anchors)
    if path is None or path.leaf is not ca:
        return False
    try:
        check_constraints(path, PROFILE)
        check_signatures(path, ChainCache(16), ca.not_before)
    except Failed:
        return False
    return True


def _crl(scheme: str, name: str, found: Mapping[str, bytes], issuers: tuple[Certificate, ...]) -> tuple[Mark, ...]:
    if name not in found:
        return ()
    check_id = endorsement_id(scheme, name)
    try:
        crl = parse_crl(crl_der(found[name], check_id, name), check_id, name)
    except BridgeError:
        return ()
    issuer = next((one for one in issuers if is_crl_of(crl, one)), None)
    if issuer is None or crl.number is None or not 0 <= crl.number < _NUMBERS:
        return ()
    return (Mark(name, f"{_key(issuer)}:crl", crl.number),)
