"""Is it genuine? TD quote -> runtime claims -> AK -> vTPM quote -> PCRs and nonce; the TDREPORT of the boot is the TD quote's.

The TD quote is verified by its own scheme, with the hash of the runtime claims as its user data. The TDREPORT's MAC can only be
checked on the machine; so it proves nothing by itself, and has to say in every field what the quote says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.formats.x509chain import Anchor, Root
from verifier.tee.azure.claims import report_data_of
from verifier.tee.azure.layout import TDINFO, TEE_TCB_INFO
from verifier.tee.azure.verify import ENDORSEMENTS as AK_ENDORSEMENTS
from verifier.tee.azure.verify import azure_checks
from verifier.tee.azure_tdx_vtpm.decode import NAME, Evidence
from verifier.tee.dcap.decode import TdReport
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.scheme import Check, Inner, Mark, Need, Subject
from verifier.tee.tdx import decode as tdx
from verifier.tee.tdx.scheme import SCHEME as TDX
from verifier.tee.vtpm.akcert import AkChain, own_anchors, read_chain

ENDORSEMENTS: Final = TDX.endorsement_names | AK_ENDORSEMENTS
CLAIMS_DIGEST: Final = "azure-tdx-vtpm.runtime-claims.digest"
HASHES: Final = "azure-tdx-vtpm.tdreport.hashes"
SAME: Final = "azure-tdx-vtpm.tdreport.quote"
# TDREPORT field -> field of the TD report in the quote. What the TDREPORT has beyond them the quote does not carry.
TIED: Final[Mapping[str, str]] = {
    "report_data": "report_data",
    "tee_tcb_svn": "tee_tcb_svn",
    "mrseam": "mrseam",
    "mrsignerseam": "mrsignerseam",
    "seam_attributes": "seamattributes",
    "attributes": "tdattributes",
    "xfam": "xfam",
    "mrtd": "mrtd",
    "mrconfigid": "mrconfigid",
    "mrowner": "mrowner",
    "mrownerconfig": "mrownerconfig",
    "rtmr0": "rtmr0",
    "rtmr1": "rtmr1",
    "rtmr2": "rtmr2",
    "rtmr3": "rtmr3",
}


@dataclass(frozen=True, slots=True, eq=False)
class Collateral:
    """What the TD quote needs, and the AK's certificate where one came along."""

    dcap: DcapCollateral
    ak_chain: AkChain | None


AzureSubject: TypeAlias = Subject[Evidence, Collateral]


def needs(evidence: Evidence, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for what the TD quote needs."""
    return TDX.needs(evidence.td, have)


def collate(evidence: Evidence, given: Mapping[str, bytes]) -> Collateral:
    """Read Intel's collateral, and the AK's certificate."""
    return Collateral(TDX.collate(evidence.td, given), read_chain(given, NAME))


def inner_subject(subject: AzureSubject) -> Subject[tdx.Evidence, DcapCollateral]:
    """Return what the TD quote's own checks are given; Azure's root is none of theirs."""
    anchors = own_anchors(subject.anchors, TDX.anchors)
    return Subject(subject.evidence.td, subject.collateral.dcap, anchors, subject.now, subject.chains)


def inner(subject: AzureSubject) -> tuple[Inner, ...]:
    """Have the TD quote verified, and hold its REPORTDATA to the runtime claims' hash."""
    want = report_data_of(subject.evidence.hcl.runtime)
    return (Inner(TDX, inner_subject(subject), want, CLAIMS_DIGEST),)


def marks(found: Mapping[str, bytes], anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return the never-falling numbers of the TD quote's collateral."""
    return TDX.marks(found, own_anchors(anchors, TDX.anchors))


def root_of(subject: AzureSubject) -> Root:
    """Return whose word it is: Intel's, who vouches for the claims that hold the AK. The AK's certificate only adds to it."""
    return TDX.root(inner_subject(subject))


def require_hashes(raw: bytes, tdreport: Mapping[str, bytes]) -> None:
    """Refuse a TDREPORT whose hashes are not those of its own parts (SHA-384 of TEE_TCB_INFO and of TDINFO)."""
    for name, part in (("tee_tcb_info_hash", TEE_TCB_INFO), ("tee_info_hash", TDINFO)):
        want = hashlib.sha384(raw[slice(*part)]).hexdigest()
        if tdreport[name].hex() != want:
            raise EvidenceRejected(HASHES, mismatch(f"tdreport.{name}", tdreport[name].hex(), want))


def require_same(tdreport: Mapping[str, bytes], report: TdReport) -> None:
    """Refuse a TDREPORT that says anything else than the TD quote."""
    for name, quoted in TIED.items():
        want: bytes = getattr(report, quoted)
        if tdreport[name] != want:
            raise EvidenceRejected(
                SAME, mismatch(f"tdreport.{name}", tdreport[name].hex(), f"the quote's {want.hex()}")
            )


def _check_hashes(subject: AzureSubject) -> None:
    require_hashes(subject.evidence.hcl.hardware, subject.evidence.tdreport)


def _check_same(subject: AzureSubject) -> None:
    require_same(subject.evidence.tdreport, subject.evidence.td.report)


_REMEDY: Final = "ask for the TD quote of this boot's own TDREPORT (the host's metadata service, /acc/tdquote)"
CHECKS: Final[tuple[Check[Any, Any], ...]] = (
    Check(HASHES, _check_hashes, remedy="read NV index 0x01400001 again, whole (2600 bytes)"),
    Check(SAME, _check_same, remedy=_REMEDY),
    *azure_checks(NAME),
)
