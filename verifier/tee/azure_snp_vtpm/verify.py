"""Is it genuine? SNP report of the boot -> runtime claims -> AK -> quote -> PCRs and nonce.

The SNP report is verified by its own scheme, with the hash of the runtime claims as its user data. It was made at boot: nothing in
it is fresh, so the quote's extraData is the only place for a challenge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from verifier.formats.x509chain import Anchor, Root
from verifier.tee.azure.claims import report_data_of
from verifier.tee.azure.verify import ENDORSEMENTS as AK_ENDORSEMENTS
from verifier.tee.azure.verify import azure_checks
from verifier.tee.azure_snp_vtpm.decode import NAME, Evidence
from verifier.tee.scheme import Check, Inner, Mark, Need, Subject
from verifier.tee.sev_snp import verify as snp
from verifier.tee.sev_snp.decode import Report
from verifier.tee.sev_snp.scheme import SCHEME as SNP
from verifier.tee.sev_snp.verify import SnpCollateral
from verifier.tee.vtpm.akcert import AkChain, own_anchors, read_chain

# Azure's hosts sign with VCEKs; the ARK is pinned and need not come.
ENDORSEMENTS: Final = frozenset({"vcek", "ask"}) | AK_ENDORSEMENTS
CLAIMS_DIGEST: Final = "azure-snp-vtpm.runtime-claims.digest"


@dataclass(frozen=True, slots=True, eq=False)
class Collateral:
    """What the SNP report needs, and the AK's certificate where one came along."""

    snp: SnpCollateral
    ak_chain: AkChain | None


AzureSubject: TypeAlias = Subject[Evidence, Collateral]


def needs(evidence: Evidence, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for what the SNP report needs."""
    return snp.needs(evidence.report, have)


def collate(evidence: Evidence, given: Mapping[str, bytes]) -> Collateral:
    """Read AMD's certificates and CRLs, and the AK's certificate."""
    return Collateral(snp.collate(evidence.report, given), read_chain(given, NAME))


def inner_subject(subject: AzureSubject) -> Subject[Report, SnpCollateral]:
    """Return what the SNP report's own checks are given; Azure's root is none of theirs."""
    anchors = own_anchors(subject.anchors, SNP.anchors)
    return Subject(subject.evidence.report, subject.collateral.snp, anchors, subject.now, subject.chains)


def inner(subject: AzureSubject) -> tuple[Inner, ...]:
    """Have the SNP report verified, and hold its REPORT_DATA to the runtime claims' hash."""
    want = report_data_of(subject.evidence.hcl.runtime)
    return (Inner(SNP, inner_subject(subject), want, CLAIMS_DIGEST),)


def marks(found: Mapping[str, bytes], anchors: tuple[Anchor, ...]) -> tuple[Mark, ...]:
    """Return the never-falling numbers of the SNP report's collateral."""
    return SNP.marks(found, own_anchors(anchors, SNP.anchors))


def root_of(subject: AzureSubject) -> Root:
    """Return whose word it is: AMD's, who vouches for the claims that hold the AK. The AK's certificate only adds to it."""
    return snp.root_of(inner_subject(subject))


CHECKS: Final[tuple[Check[Any, Any], ...]] = azure_checks(NAME)
