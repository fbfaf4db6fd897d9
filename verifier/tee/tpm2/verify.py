"""Checks of ``tpm2``: that this is the quote of a TPM that we know, and that PCR values and event log belong to it.

Checked: AK enrolled and what it should be, signature, Qualified Name, PCR selection and digest, event log against the quoted
PCRs. Not checked here: the challenge (``run_checks`` compares extraData centrally) and whether the values are wanted (``rules``).
Source: TCG TPM 2.0 Library Parts 1 to 3, revision 1.59; design.md sections 4 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.boot import require_boot_replay
from verifier.tee.tcg.data import DATA_IS_HASHED_STRICTLY, require_data
from verifier.tee.tcg.layout import HASHES, STRONG_HASHES
from verifier.tee.tpm2.collateral import AK_ID, EnrolledKey
from verifier.tee.tpm2.decode import Evidence
from verifier.tee.tpm2.enrolment import ak_faults
from verifier.tee.tpm2.keys import is_signed_by, load_public
from verifier.tee.tpm2.layout import Public, Quote, Selection, Signature, name_of, qualified_name

ENROLLED = "tpm2.ak.enrolled"
NAME = "tpm2.ak.name"
ATTRIBUTES = "tpm2.ak.attributes"
SIGNATURE_SCHEME = "tpm2.quote.scheme"
SIGNATURE = "tpm2.quote.signature"
QUALIFIED_SIGNER = "tpm2.quote.qualified-signer"
SELECTION = "tpm2.quote.selection"
PCRS = "tpm2.pcrs.selection"
PCR_DIGEST = "tpm2.pcrs.digest"
ZERO_PCRS = "tpm2.pcrs.zero"
REPLAY = "tpm2.eventlog.replay"
EVENT_DATA = "tpm2.eventlog.data"

# PCRs that firmware and boot loaders extend and log. Left out: 10 (IMA, a list of its own), 15 (the attester's configuration,
# extended after the boot) and 16 to 23 (resettable). Those have to replay only where the log has events for them. PCR 11 may be some
# boot phases further on than the log says.
LOGGED_PCRS = frozenset((*range(10), 11, 12, 13, 14))
FIRMWARE_PCRS = frozenset(range(8))


@dataclass(frozen=True, slots=True)
class Collateral:
    """The enrolled AK, ``None`` where the store says that there is none of that Name."""

    ak: EnrolledKey | None


Tpm2Subject = Subject[Evidence, Collateral]


def _ak(subject: Tpm2Subject) -> EnrolledKey:
    if subject.collateral.ak is None:
        raise EvidenceRejected(NAME, "AK: got none enrolled, want one to compare with")
    return subject.collateral.ak


def _check_enrolled(subject: Tpm2Subject) -> None:
    if subject.collateral.ak is None:
        raise EvidenceRejected(ENROLLED, f"AK {subject.evidence.ak_name.hex()}: not enrolled for this tenant")


def _check_name(subject: Tpm2Subject) -> None:
    ak, want = _ak(subject), subject.evidence.ak_name
    for what, got in (("enrolled Name", ak.ak_name), ("Name of its public area", name_of(ak.public))):
        if got != want:
            raise EvidenceRejected(NAME, mismatch(what, got.hex(), want.hex()))


def _check_attributes(subject: Tpm2Subject) -> None:
    faults = ak_faults(_ak(subject).public)
    if faults:
        raise EvidenceRejected(ATTRIBUTES, f"AK: {'; '.join(faults)}")


def require_signature_scheme(signature: Signature, public: Public) -> None:
    """Refuse a signature by another scheme or hash than the key's own, or by a hash weaker than SHA-256."""
    got = (signature.scheme, signature.hash)
    if got != public.scheme or signature.hash not in STRONG_HASHES:
        want = None if public.scheme is None else f"{public.scheme[0]:#06x}/{public.scheme[1]:#06x}"
        raise EvidenceRejected(
            SIGNATURE_SCHEME, mismatch("scheme and hash", f"{got[0]:#06x}/{got[1]:#06x}", f"the key's own, {want}")
        )


def _check_scheme(subject: Tpm2Subject) -> None:
    require_signature_scheme(subject.evidence.signature, _ak(subject).public)


def _check_signature(subject: Tpm2Subject) -> None:
    evidence = subject.evidence
    key = load_public(_ak(subject).public, AK_ID)
    if not is_signed_by(key, evidence.signature, evidence.raw["quote"]):
        raise EvidenceRejected(SIGNATURE, "quote: signature does not verify with the enrolled AK")


def _check_qualified_signer(subject: Tpm2Subject) -> None:
    ak = _ak(subject)
    name = name_of(ak.public)
    got = subject.evidence.quote.qualified_signer
    if got not in (qualified_name(name), qualified_name(name, ak.ek_name)):
        want = "the AK in the endorsement hierarchy, or under the enrolled EK"
        raise EvidenceRejected(QUALIFIED_SIGNER, mismatch("qualifiedSigner", got.hex(), want))


def _check_selection(subject: Tpm2Subject) -> None:
    selections = subject.evidence.quote.selections
    if len(selections) != 1:
        raise EvidenceRejected(SELECTION, mismatch("pcrSelect banks", len(selections), "exactly one"))
    if selections[0].algorithm not in STRONG_HASHES:
        name = HASHES[selections[0].algorithm].name
        raise EvidenceRejected(SELECTION, mismatch("pcrSelect bank", name, "sha256 or stronger"))
    if not selections[0].pcrs:
        raise EvidenceRejected(SELECTION, mismatch("pcrSelect", "no PCR", "at least one"))


def selected_values(selections: tuple[Selection, ...], banks: Mapping[str, Mapping[int, bytes]]) -> bytes | None:
    """Join the values of all selected PCRs, banks in the order of selection, PCRs ascending; ``None`` if one is missing."""
    values: list[bytes] = []
    for selection in selections:
        bank = banks.get(HASHES[selection.algorithm].name, {})
        for pcr in selection.pcrs:
            if pcr not in bank:
                return None
            values.append(bank[pcr])
    return b"".join(values)


def _check_pcrs(subject: Tpm2Subject) -> None:
    evidence = subject.evidence
    want = {HASHES[s.algorithm].name: list(s.pcrs) for s in evidence.quote.selections}
    got = {bank: sorted(values) for bank, values in evidence.banks.items()}
    if got != want:
        raise EvidenceRejected(PCRS, mismatch("pcrs", got, f"exactly the quoted ones, {want}"))


def require_pcr_digest(quote: Quote, signature: Signature, banks: Mapping[str, Mapping[int, bytes]]) -> None:
    """Refuse PCR values that do not hash to the quote's digest, by the hash of the *signature*, not of the bank."""
    values = selected_values(quote.selections, banks)
    if values is None:
        raise EvidenceRejected(PCR_DIGEST, "pcrs: a selected PCR has no value")
    algorithm = HASHES[signature.hash]
    got = b"" if algorithm.new is None else algorithm.digest(values)
    if got != quote.pcr_digest:
        raise EvidenceRejected(PCR_DIGEST, mismatch("hash of the PCR values", got.hex(), quote.pcr_digest.hex()))


def _check_pcr_digest(subject: Tpm2Subject) -> None:
    require_pcr_digest(subject.evidence.quote, subject.evidence.signature, subject.evidence.banks)


def _check_zero_pcrs(subject: Tpm2Subject) -> None:
    for bank, values in subject.evidence.banks.items():
        zero = [pcr for pcr in sorted(FIRMWARE_PCRS & values.keys()) if not any(values[pcr])]
        if zero:
            raise EvidenceRejected(ZERO_PCRS, f"PCRs {zero} ({bank}): all zero, no firmware measured anything there")


def _check_replay(subject: Tpm2Subject) -> None:
    log = subject.evidence.log
    if log is None:
        return
    for bank, values in subject.evidence.banks.items():
        algorithm = next(a for a in HASHES.values() if a.name == bank)
        require_boot_replay(log, algorithm, values, must_explain=LOGGED_PCRS, check_id=REPLAY)


def _check_event_data(subject: Tpm2Subject) -> None:
    log = subject.evidence.log
    if log is None:
        return
    banks = tuple(s.algorithm for s in subject.evidence.quote.selections)
    require_data(log, check_id=EVENT_DATA, algorithms=banks, types=DATA_IS_HASHED_STRICTLY)


CHECKS: tuple[Check[Evidence, Collateral], ...] = (
    Check(
        ENROLLED,
        _check_enrolled,
        redundant_with=NAME,
        why="without an enrolled key there is no Name to compare either; this one says plainly what is wrong",
        remedy="enrol the TPM for this tenant (verifier enrolment, attester enrol), or take the workload to one that is",
    ),
    Check(NAME, _check_name, remedy="enrol the TPM anew: the store's record is of another key than the quote names"),
    Check(
        ATTRIBUTES,
        _check_attributes,
        remedy="make the AK anew from the attester's template (restricted, sign, fixedTPM, fixedParent), and enrol it",
    ),
    Check(
        SIGNATURE_SCHEME,
        _check_scheme,
        remedy="make an AK whose own scheme is RSASSA, RSAPSS or ECDSA with SHA-256 or stronger, and quote with that scheme",
    ),
    Check(
        SIGNATURE,
        _check_signature,
        remedy="quote with the enrolled AK; if the TPM was cleared or replaced, enrol it anew",
    ),
    Check(
        QUALIFIED_SIGNER,
        _check_qualified_signer,
        remedy="make the AK as a primary key of the endorsement hierarchy, or under the enrolled EK",
    ),
    Check(SELECTION, _check_selection, remedy="quote one PCR bank, SHA-256 or stronger, with at least one PCR"),
    Check(PCRS, _check_pcrs, remedy="send exactly the quoted PCRs' values, in the quoted bank"),
    Check(PCR_DIGEST, _check_pcr_digest, remedy="read the PCRs again after quoting: one was extended in between"),
    Check(ZERO_PCRS, _check_zero_pcrs, remedy="boot with firmware that measures into PCR 0 to 7 of the quoted bank"),
    Check(
        REPLAY,
        _check_replay,
        remedy="send the event log of this very boot, unchanged and whole (binary_bios_measurements)",
    ),
    Check(
        EVENT_DATA,
        _check_event_data,
        remedy="send the event log as the firmware wrote it; where the firmware itself is wrong, leave the log out",
    ),
)
