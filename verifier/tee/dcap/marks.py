"""Never-falling numbers of Intel's documents: of genuine ones only, so that a forgery raises no mark.

The same quote on the same day is accepted with one genuine TCB info and out of date with another: several evaluation numbers are in
force at once, and who serves the older one decides. So neither the evaluation number nor the issue date may fall.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, Literal

from verifier.formats.encoding import sha256
from verifier.formats.errors import BridgeError, Failed
from verifier.formats.x509 import Certificate, parse_crl
from verifier.formats.x509chain import Anchor, ChainCache, check_constraints, check_signatures, find_path, is_crl_of
from verifier.tee.dcap.collateral import QeIdentity, TcbInfo
from verifier.tee.dcap.endorse import DcapCollateral, crl_der, read_documents
from verifier.tee.dcap.pck import ordered, read_chain
from verifier.tee.dcap.steps import PROFILE, Dcap, qe_identity_steps, tcb_info_steps
from verifier.tee.scheme import Mark, Subject

Document = Literal["tcb_info", "qe_identity"]

_NUMBERS: Final = 1 << 159  # RFC 5280, section 5.2.3: at most 20 octets, signed
_WHAT: Final = "marks"  # stands for a check id: nothing here reaches a caller
_STEPS: Final = MappingProxyType({"tcb_info": tcb_info_steps(_WHAT), "qe_identity": qe_identity_steps(_WHAT)})


def document_marks(name: Document, body: bytes, chain: bytes, anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return evaluation number and issue date of a signed document; nothing for one that is not genuine or cannot be read."""
    steps = _STEPS[name]
    try:
        collateral = read_documents(_WHAT, {name: body, f"{name}_chain": chain})
        document = steps.document(_subject(collateral, anchors, 0))
        # Judged at its own issue date: a mark says that it was issued, not that it is still in force.
        subject = _subject(collateral, anchors, document.issued)
        steps.chain(subject)
        steps.signature(subject)
    except (BridgeError, Failed):
        return ()
    issuer = f"{_key(steps.signer.path(subject).certificates[0])}:{name}:{_of(document)}"
    return Mark(f"{issuer}:evaluation", document.evaluation_number), Mark(f"{issuer}:issued", document.issued)


def _of(document: TcbInfo | QeIdentity) -> str:
    return f"{document.id}:{document.fmspc}:{document.pceid}" if isinstance(document, TcbInfo) else document.id


def _key(certificate: Certificate) -> str:
    return f"intel:{sha256(certificate.subject + certificate.spki).hex()}"


def _subject(collateral: DcapCollateral, anchors: tuple[Anchor, ...], now: int) -> Dcap:
    return Subject(None, collateral, anchors, now, ChainCache(16))


def root_crl_marks(crl: bytes, anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return the number of the root's list; nothing for one that no anchor signed."""
    return _crl(crl, tuple(anchor.certificate for anchor in anchors))


def pck_crl_marks(crl: bytes, pck_chain: bytes, anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return the number of a PCK CA's list. Its issuer stands under an anchor, behind the list or in a PCK chain that was fetched."""
    cas: list[Certificate] = []
    for data in (crl, pck_chain):
        if b"-----BEGIN CERTIFICATE-----" not in data:
            continue
        try:
            certificates = read_chain(_certificates_only(data), _WHAT, "PCK CAs")
        except BridgeError:
            continue
        cas += [c for c in certificates if c.is_ca and _is_under(c, certificates, anchors)]
    return _crl(crl, tuple(cas))


def _certificates_only(data: bytes) -> bytes:
    """Drop what stands before the first certificate: the CRL that they are the issuers of."""
    return data[data.index(b"-----BEGIN CERTIFICATE-----") :]


def _is_under(ca: Certificate, certificates: tuple[Certificate, ...], anchors: tuple[Anchor, ...]) -> bool:
    path = find_path(ordered(certificates, ca), anchors)
    if path is None:
        return False
    try:
        check_constraints(path, PROFILE)
        check_signatures(path, ChainCache(16), ca.not_before)
    except Failed:
        return False
    return True


def _crl(data: bytes, issuers: tuple[Certificate, ...]) -> tuple[Mark, ...]:
    try:
        crl = parse_crl(crl_der(data, _WHAT, "CRL"), _WHAT)
    except BridgeError:
        return ()
    issuer = next((one for one in issuers if is_crl_of(crl, one)), None)
    if issuer is None or crl.number is None or not 0 <= crl.number < _NUMBERS:
        return ()
    return (Mark(f"{_key(issuer)}:crl", crl.number),)
