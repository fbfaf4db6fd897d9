"""Checks of ``tpm2``: that this is the quote of a TPM that we know, and that PCR values and event log belong to it.

Checked: AK enrolled and what it should be, signature, Qualified Name, PCR selection and digest, event log against the quoted
PCRs. Not checked here: the challenge (``run_checks`` compares extraData centrally) and whether the values are wanted (``rules``).
Source: TCG TPM 2.0 Library Parts 1 to 3, revision 1.59.
"""

from __future__ import annotations

from verifier.formats.errors import Failed, mismatch
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.boot import require_boot_replay
from verifier.tee.tcg.layout import STRONG_HASHES
from verifier.tee.tpm2 import quote as steps
from verifier.tee.tpm2.collateral import AK_ID, Collateral, EnrolledKey
from verifier.tee.tpm2.decode import Evidence
from verifier.tee.tpm2.enrolment import ak_faults
from verifier.tee.tpm2.keys import load_public
from verifier.tee.tpm2.layout import name_of, qualified_name
from verifier.tee.tpm2.measured import IMA_CHECKS

Tpm2Subject = Subject[Evidence, Collateral]


def _ak(subject: Tpm2Subject) -> EnrolledKey:
    if subject.collateral.ak is None:
        raise Failed("AK: got none enrolled, want one to compare with")
    return subject.collateral.ak


def _check_enrolled(subject: Tpm2Subject) -> None:
    if subject.collateral.ak is None:
        raise Failed(f"AK {subject.evidence.ak_name.hex()}: not enrolled for this tenant")


def _check_name(subject: Tpm2Subject) -> None:
    ak, want = _ak(subject), subject.evidence.ak_name
    for what, got in (("enrolled Name", ak.ak_name), ("Name of its public area", name_of(ak.public))):
        if got != want:
            raise Failed(mismatch(what, got.hex(), want.hex()))


def _check_attributes(subject: Tpm2Subject) -> None:
    faults = ak_faults(_ak(subject).public)
    if faults:
        raise Failed(f"AK: {'; '.join(faults)}")


def _check_scheme(subject: Tpm2Subject) -> None:
    """The signature is by the key's own scheme and hash, and the hash is SHA-256 or stronger."""
    signature, public = subject.evidence.signature, _ak(subject).public
    got = (signature.scheme, signature.hash)
    if got != public.scheme or signature.hash not in STRONG_HASHES:
        want = None if public.scheme is None else f"{public.scheme[0]:#06x}/{public.scheme[1]:#06x}"
        raise Failed(mismatch("scheme and hash", f"{got[0]:#06x}/{got[1]:#06x}", f"the key's own, {want}"))


def _check_signature(subject: Tpm2Subject) -> None:
    evidence = subject.evidence
    steps.require_signature(load_public(_ak(subject).public, AK_ID), evidence.signature, evidence.raw["quote"])


def _check_qualified_signer(subject: Tpm2Subject) -> None:
    ak = _ak(subject)
    name = name_of(ak.public)
    got = subject.evidence.quote.qualified_signer
    if got not in (qualified_name(name), qualified_name(name, ak.ek_name)):
        want = "the AK in the endorsement hierarchy, or under the enrolled EK"
        raise Failed(mismatch("qualifiedSigner", got.hex(), want))


CHECKS: tuple[Check[Evidence, Collateral], ...] = (
    Check(
        "tpm2.ak.enrolled",
        _check_enrolled,
        redundant_with="tpm2.ak.name",
        why="without an enrolled key there is no Name to compare either; this one says plainly what is wrong",
    ),
    Check("tpm2.ak.name", _check_name),
    Check("tpm2.ak.attributes", _check_attributes),
    Check("tpm2.quote.scheme", _check_scheme),
    Check("tpm2.quote.signature", _check_signature),
    Check("tpm2.quote.qualified-signer", _check_qualified_signer),
    *steps.quote_checks("tpm2", lambda subject: subject.evidence, require_boot_replay),
    *IMA_CHECKS,
)
