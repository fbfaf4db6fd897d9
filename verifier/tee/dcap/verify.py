"""Is the quote genuine? Intel's pinned root down to the attestation key, then the collateral, then what ties them.

What each check means, and what is not checked, stands in docs/tee/dcap.md. ``checks_of(scheme)`` makes the list, one id each,
with the scheme's name before it. Faults of the evidence are ``EvidenceRejected``; faults of the verifier's own collateral
(missing, stale, expired, signed by somebody else, of another platform) are ``CannotDecide``: they say nothing of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

from verifier.formats.errors import CannotDecide, EvidenceRejected, mismatch
from verifier.formats.x509chain import Anchor, Root, check_crls, check_revocation
from verifier.tee.dcap.collateral import Module
from verifier.tee.dcap.decode import Quote, TdReport
from verifier.tee.dcap.endorse import DcapCollateral, endorsement_id
from verifier.tee.dcap.evaluate import Evaluation, evaluate, find_module, svns_of
from verifier.tee.dcap.steps import (
    Dcap,
    DcapCheck,
    DocumentSteps,
    QuoteSteps,
    qe_identity_steps,
    quote_of,
    tcb_info_steps,
)
from verifier.tee.scheme import Check, Subject, weakest_root

ROOT_CERTIFICATE: Final = (
    files("verifier.tee.dcap").joinpath("anchors", "intel_sgx_root_ca.der").read_bytes()
)  # its digests are pinned by a test
ANCHORS: Final = (Anchor("Intel SGX Root CA", ROOT_CERTIFICATE, "vendor"),)


def _cannot(run: Callable[[Dcap], None]) -> Callable[[Dcap], None]:
    """Turn a refusal into "cannot decide": the document is the verifier's own."""

    def check(subject: Dcap) -> None:
        try:
            run(subject)
        except EvidenceRejected as error:
            raise CannotDecide(error.check_id, error.detail) from None

    return check


class _Ties:
    """What ties the quote to its collateral."""

    def __init__(self, scheme: str, quote_steps: QuoteSteps) -> None:
        self.scheme = scheme
        self.quote_steps = quote_steps
        self.root_ids = replace(quote_steps.ids, crl=endorsement_id(scheme, "root_crl"))

    def root_crl(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.path(subject)
        crls = () if collateral.root_crl is None else (collateral.root_crl,)
        required = (0,) if collateral.crls_required else ()
        check_crls(path, crls, self.root_ids, subject.chains, subject.now, required=required)
        if crls and crls[0].issuer != path.certificates[0].subject:
            raise CannotDecide(self.root_ids.crl, "root CRL.issuer: got another name, want the root's")

    def pck_crl(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.path(subject)
        crls = () if collateral.pck_crl is None else (collateral.pck_crl,)
        required = (1,) if collateral.crls_required else ()
        if crls and crls[0].issuer != path.leaf.issuer:
            raise CannotDecide(
                self.quote_steps.ids.crl, "PCK CRL.issuer: got another name, want the issuer of the PCK certificate"
            )
        check_crls(path, crls, self.quote_steps.ids, subject.chains, subject.now, required=required)

    def revoked(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.path(subject)
        crls = tuple(crl for crl in (collateral.root_crl, collateral.pck_crl) if crl is not None)
        check_revocation(path, crls, self.quote_steps.ids)

    def fmspc(self, subject: Dcap) -> None:
        info, pck = subject.collateral.tcb_info, self.quote_steps.pck(subject)
        if info is None or info.fmspc != pck.fmspc:
            got = None if info is None else info.fmspc
            raise CannotDecide(f"{self.scheme}.tcb-info.fmspc", mismatch("tcb_info.fmspc", got, pck.fmspc))

    def pceid(self, subject: Dcap) -> None:
        info, want = subject.collateral.tcb_info, self.quote_steps.pck(subject).pceid.hex().upper()
        if info is None or info.pceid != want:
            got = None if info is None else info.pceid
            raise CannotDecide(f"{self.scheme}.tcb-info.pceid", mismatch("tcb_info.pceId", got, want))

    def _qe(self, noun: str, got: object, want: object, *, same: bool) -> None:
        if not same:
            raise EvidenceRejected(f"{self.scheme}.qe-identity.{noun}", mismatch(f"QE report.{noun}", got, want))

    def qe_mrsigner(self, subject: Dcap) -> None:
        identity, report = subject.collateral.qe_identity, quote_of(subject).qe_report
        want = b"" if identity is None else identity.mrsigner
        self._qe("mrsigner", report.mrsigner.hex(), want.hex(), same=report.mrsigner == want)

    def qe_isvprodid(self, subject: Dcap) -> None:
        identity, got = subject.collateral.qe_identity, quote_of(subject).qe_report.isvprodid
        want = None if identity is None else identity.isvprodid
        self._qe("isvprodid", got, want, same=got == want)

    def qe_miscselect(self, subject: Dcap) -> None:
        identity, got = subject.collateral.qe_identity, quote_of(subject).qe_report.miscselect
        same = identity is not None and got & identity.miscselect_mask == identity.miscselect
        self._qe("miscselect", hex(got), "the identity's under its mask", same=same)

    def qe_attributes(self, subject: Dcap) -> None:
        identity, got = subject.collateral.qe_identity, quote_of(subject).qe_report.attributes
        same = identity is not None and _masked(got, identity.attributes_mask) == identity.attributes
        self._qe("attributes", got.hex(), "the identity's under its mask", same=same)

    def _module(self, subject: Dcap) -> tuple[TdReport, Module] | None:
        """Return the TDX module's identity; an unknown module is no mismatch but a status, NotSupported."""
        report, info = quote_of(subject).body, subject.collateral.tcb_info
        if not isinstance(report, TdReport) or info is None:
            return None
        module = find_module(info, report.tee_tcb_svn)
        return None if module is None else (report, module)

    def module_mrsigner(self, subject: Dcap) -> None:
        found = self._module(subject)
        if found is not None and found[0].mrsignerseam != found[1].mrsigner:
            raise EvidenceRejected(
                f"{self.scheme}.module.mrsigner",
                mismatch("quote.mrsignerseam", found[0].mrsignerseam.hex(), found[1].mrsigner.hex()),
            )

    def module_attributes(self, subject: Dcap) -> None:
        found = self._module(subject)
        if found is None:
            return
        report, module = found
        if _masked(report.seamattributes, module.attributes_mask) != module.attributes:
            raise EvidenceRejected(
                f"{self.scheme}.module.attributes",
                mismatch("quote.seamattributes", report.seamattributes.hex(), module.attributes.hex()),
            )


@lru_cache(maxsize=1024)
def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one & bit for one, bit in zip(value, mask, strict=True))


_TELL: Final = "the quote was changed, or is of another platform: have the workload make it again"
_PCK: Final = "have the host's provisioning service (PCCS) hand out the PCK chain of this platform as Intel issued it"
_RENEW: Final = "fetch Intel's collateral anew (verifier collateral import, or the PCS/PCCS source's log)"


def _quote_checks(scheme: str, steps: QuoteSteps) -> tuple[DcapCheck, ...]:
    return (
        Check(
            f"{scheme}.chain.root",
            steps.root,
            redundant_with=f"{scheme}.chain.signature",
            why="the walk starts from the pinned root's key and has none to start with; this one says first which root was wrong",
            remedy="use a production platform: its PCK chain ends in Intel's root, found by key and not by name",
        ),
        Check(f"{scheme}.chain.constraints", steps.constraints, remedy=_PCK),
        Check(f"{scheme}.chain.signature", steps.signature, remedy=_PCK),
        Check(f"{scheme}.chain.validity", steps.validity, remedy=_PCK),
        Check(f"{scheme}.qe.signature", steps.qe_signature, remedy=_TELL),
        Check(f"{scheme}.qe.binding", steps.qe_binding, remedy=_TELL),
        Check(f"{scheme}.quote.signature", steps.quote_signature, remedy=_TELL),
        Check(f"{scheme}.quote.qe-vendor", steps.vendor, remedy="use Intel's quoting enclave"),
    )


def _document_checks(steps: DocumentSteps) -> tuple[DcapCheck, ...]:
    noun = steps.noun
    return (
        Check(f"{noun}.chain", _cannot(steps.chain), remedy=_RENEW),
        Check(
            f"{noun}.signer-validity",
            _cannot(steps.signer_validity),
            remedy="fetch the issuer chain anew: the TCB Signing certificate of 2018 expired on 2025-05-21",
        ),
        Check(f"{noun}.signature", _cannot(steps.signature), remedy=_RENEW),
        Check(f"{noun}.id", _cannot(steps.identity), remedy="serve the document of this kind of TEE"),
        Check(f"{noun}.not-yet-issued", _cannot(steps.issued), remedy="set the verifier's clock, or fetch anew"),
        Check(f"{noun}.expired", _cannot(steps.expired), remedy=_RENEW),
    )


def _tie_checks(scheme: str, ties: _Ties, documents: tuple[DocumentSteps, ...]) -> tuple[DcapCheck, ...]:
    qe = f"{scheme}.qe-identity"
    update = "use Intel's quoting enclave, in the version that the QE identity is of"
    return (
        Check(f"{scheme}.endorsement.root_crl", ties.root_crl, remedy="fetch the root CA's CRL anew"),
        Check(
            f"{scheme}.endorsement.pck_crl",
            ties.pck_crl,
            remedy="fetch the CRL of the CA that issued the PCK certificate (ca=platform or ca=processor)",
        ),
        Check(
            f"{scheme}.chain.revoked", ties.revoked, remedy="take the platform out of service: Intel revoked its key"
        ),
        *(Check(f"{steps.noun}.signer-revoked", _cannot(steps.signer_revoked), remedy=_RENEW) for steps in documents),
        Check(f"{qe}.mrsigner", ties.qe_mrsigner, remedy=update),
        Check(f"{qe}.isvprodid", ties.qe_isvprodid, remedy=update),
        Check(f"{qe}.miscselect", ties.qe_miscselect, remedy=update),
        Check(
            f"{qe}.attributes",
            ties.qe_attributes,
            remedy="use the quoting enclave's production build: debug is off in it",
        ),
    )


def _as_told(check: DcapCheck) -> DcapCheck:
    return replace(
        check,
        redundant_with="tdx.tcb.supported",
        why="TCB info of SGX has no TDX components, so that no level would match; this one says that the document is the wrong one",
    )


def checks_of(scheme: str, *, has_module: bool) -> tuple[DcapCheck, ...]:
    """Make the checks of ``sgx`` or ``tdx`` in order; ``has_module``: a TDX module is tied to its identity too."""
    steps, info, identity = QuoteSteps(scheme), tcb_info_steps(scheme), qe_identity_steps(scheme)
    ties = _Ties(scheme, steps)
    modules: tuple[DcapCheck, ...] = (
        Check(f"{scheme}.module.mrsigner", ties.module_mrsigner, remedy="have the host load Intel's TDX module"),
        Check(f"{scheme}.module.attributes", ties.module_attributes, remedy="have the host load Intel's TDX module"),
    )
    return (
        *_quote_checks(scheme, steps),
        *(
            _as_told(check) if has_module and check.id == f"{info.noun}.id" else check
            for check in _document_checks(info)
        ),
        Check(f"{scheme}.tcb-info.fmspc", ties.fmspc, remedy="serve the TCB info of the platform's FMSPC"),
        Check(f"{scheme}.tcb-info.pceid", ties.pceid, remedy="serve the TCB info of the platform's PCE"),
        *_document_checks(identity),
        *_tie_checks(scheme, ties, (info, identity)),
        *(modules if has_module else ()),
    )


def evaluation_of(quote: Quote, collateral: DcapCollateral) -> Evaluation:
    """Evaluate a verified quote's platform. ``TypeError`` before verification: the documents may not be there."""
    if collateral.tcb_info is None or collateral.qe_identity is None or collateral.pck is None:
        raise TypeError("evaluation_of before run_checks")
    launch, current = svns_of(quote.body)
    return evaluate(
        collateral.tcb_info, collateral.qe_identity, collateral.pck, quote.qe_report.isvsvn, launch, current
    )


def root_of(scheme: str) -> Callable[[Subject[Any, DcapCollateral]], Root]:
    """Return the scheme's ``root``: the weakest of the anchors that quote and documents end in."""
    steps, info, identity = QuoteSteps(scheme), tcb_info_steps(scheme), qe_identity_steps(scheme)

    def root(subject: Dcap) -> Root:
        return weakest_root(*(part.path(subject).anchor.root for part in (steps, info, identity)))

    return root
