"""Is the quote genuine? Intel's pinned root down to the attestation key, then the collateral, then what ties them.

What each check means, and what is not checked, stands in docs/tee/dcap.md. ``checks_of(scheme)`` makes the list, one id each,
with the scheme's name before it. Faults of the evidence are ``EvidenceRejected``; faults of the verifier's own collateral
(missing, stale, expired, signed by somebody else, of another platform) are ``CannotDecide``: they say nothing of the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from verifier.formats.errors import Failed, Undecided, mismatch
from verifier.formats.x509chain import Root, check_crls, check_revocation
from verifier.tee.chain import pinned
from verifier.tee.dcap.collateral import Module
from verifier.tee.dcap.decode import Quote, TdReport
from verifier.tee.dcap.endorse import DcapCollateral
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
from verifier.tee.scheme import Check, Subject
from verifier.tee.verified import weakest_root

ANCHORS: Final = (pinned(__package__, "Intel SGX Root CA", "intel_sgx_root_ca.der"),)


def _cannot(run: Callable[[Dcap], None]) -> Callable[[Dcap], None]:
    """Turn a refusal into "cannot decide": the document is the verifier's own."""

    def check(subject: Dcap) -> None:
        try:
            run(subject)
        except Failed as failure:
            raise Undecided(failure.detail) from None

    return check


class _Ties:
    """What ties the quote to its collateral."""

    def __init__(self, scheme: str, quote_steps: QuoteSteps) -> None:
        self.scheme = scheme
        self.quote_steps = quote_steps

    def root_crl(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.chain.path(subject)
        crls = () if collateral.root_crl is None else (collateral.root_crl,)
        required = (0,) if collateral.crls_required else ()
        check_crls(path, crls, subject.chains, subject.now, required=required)
        if crls and crls[0].issuer != path.certificates[0].subject:
            raise Undecided("root CRL.issuer: got another name, want the root's")

    def pck_crl(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.chain.path(subject)
        crls = () if collateral.pck_crl is None else (collateral.pck_crl,)
        required = (1,) if collateral.crls_required else ()
        if crls and crls[0].issuer != path.leaf.issuer:
            raise Undecided("PCK CRL.issuer: got another name, want the issuer of the PCK certificate")
        check_crls(path, crls, subject.chains, subject.now, required=required)

    def revoked(self, subject: Dcap) -> None:
        collateral, path = subject.collateral, self.quote_steps.chain.path(subject)
        crls = tuple(crl for crl in (collateral.root_crl, collateral.pck_crl) if crl is not None)
        check_revocation(path, crls)

    def fmspc(self, subject: Dcap) -> None:
        info, pck = subject.collateral.tcb_info, self.quote_steps.pck(subject)
        if info is None or info.fmspc != pck.fmspc:
            got = None if info is None else info.fmspc
            raise Undecided(mismatch("tcb_info.fmspc", got, pck.fmspc))

    def pceid(self, subject: Dcap) -> None:
        info, want = subject.collateral.tcb_info, self.quote_steps.pck(subject).pceid.hex().upper()
        if info is None or info.pceid != want:
            got = None if info is None else info.pceid
            raise Undecided(mismatch("tcb_info.pceId", got, want))

    def _qe(self, noun: str, got: object, want: object, *, same: bool) -> None:
        if not same:
            raise Failed(mismatch(f"QE report.{noun}", got, want))

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
            raise Failed(
                mismatch("quote.mrsignerseam", found[0].mrsignerseam.hex(), found[1].mrsigner.hex()),
            )

    def module_attributes(self, subject: Dcap) -> None:
        found = self._module(subject)
        if found is None:
            return
        report, module = found
        if _masked(report.seamattributes, module.attributes_mask) != module.attributes:
            raise Failed(
                mismatch("quote.seamattributes", report.seamattributes.hex(), module.attributes.hex()),
            )


@lru_cache(maxsize=1024)
def _masked(value: bytes, mask: bytes) -> bytes:
    return bytes(one & bit for one, bit in zip(value, mask, strict=True))


_AS_TOLD: Final = (
    "TCB info of SGX has no TDX components, so that no level would match; this one says that it is the wrong document"
)


def _document_checks(steps: DocumentSteps, *, redundant_with: str = "") -> Iterator[DcapCheck]:
    """Make the checks of one of Intel's documents: it is the verifier's own, so a no of theirs is "cannot decide"."""
    for noun, run in (
        ("chain", steps.chain),
        ("signer-validity", steps.signer.validity),
        ("signature", steps.signature),
        ("id", steps.identity),
        ("not-yet-issued", steps.issued),
        ("expired", steps.expired),
    ):
        also = redundant_with if noun == "id" else ""
        yield Check(f"{steps.noun}.{noun}", _cannot(run), also, _AS_TOLD if also else "")


def checks_of(scheme: str, *, has_module: bool) -> tuple[DcapCheck, ...]:
    """Make the checks of ``sgx`` or ``tdx`` in order; ``has_module``: a TDX module is tied to its identity too."""
    steps, info, identity = QuoteSteps(scheme), tcb_info_steps(scheme), qe_identity_steps(scheme)
    ties = _Ties(scheme, steps)

    def named(*rows: tuple[str, Callable[[Dcap], None]]) -> Iterator[DcapCheck]:
        return (Check(f"{scheme}.{noun}", run) for noun, run in rows)

    return (
        *steps.chain.checks(f"{scheme}.chain"),
        *named(
            ("qe.signature", steps.qe_signature),
            ("qe.binding", steps.qe_binding),
            ("quote.signature", steps.quote_signature),
            ("quote.qe-vendor", steps.vendor),
        ),
        *_document_checks(info, redundant_with=f"{scheme}.tcb.supported" if has_module else ""),
        *named(("tcb-info.fmspc", ties.fmspc), ("tcb-info.pceid", ties.pceid)),
        *_document_checks(identity),
        *named(
            ("endorsement.root_crl", ties.root_crl),
            ("endorsement.pck_crl", ties.pck_crl),
            ("chain.revoked", ties.revoked),
            ("tcb-info.signer-revoked", _cannot(info.signer_revoked)),
            ("qe-identity.signer-revoked", _cannot(identity.signer_revoked)),
            ("qe-identity.mrsigner", ties.qe_mrsigner),
            ("qe-identity.isvprodid", ties.qe_isvprodid),
            ("qe-identity.miscselect", ties.qe_miscselect),
            ("qe-identity.attributes", ties.qe_attributes),
        ),
        *(
            named(("module.mrsigner", ties.module_mrsigner), ("module.attributes", ties.module_attributes))
            if has_module
            else ()
        ),
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
        return weakest_root(*(chain.root_of(subject) for chain in (steps.chain, info.signer, identity.signer)))

    return root
