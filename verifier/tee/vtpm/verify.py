"""Checks of a vTPM's quote under a key that something else vouches for.

Checked: scheme and hash of the signature, the signature itself, PCR selection and digest, event log against the quoted PCRs.
Not checked here: who vouches for the key (the composite), the challenge (``run_checks`` compares extraData centrally), whether
the values are wanted (``rules``). qualifiedSigner is reported: the AK's public area, which its Name is made of, is not evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from verifier.formats.errors import EvidenceRejected, mismatch
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.data import DATA_IS_HASHED_STRICTLY, require_data
from verifier.tee.tcg.layout import HASHES, HASHES_BY_NAME, SHA1, STRONG_HASHES
from verifier.tee.tcg.replay import require_replay
from verifier.tee.tpm2.keys import Key, is_signed_by
from verifier.tee.tpm2.layout import ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA, Quote, Signature
from verifier.tee.tpm2.verify import FIRMWARE_PCRS, LOGGED_PCRS, selected_values
from verifier.tee.vtpm.quote import QUOTE, VtpmQuote

_SCHEMES: Final[Mapping[int, str]] = {ALG_RSASSA: "RSASSA", ALG_RSAPSS: "RSAPSS", ALG_ECDSA: "ECDSA"}


@dataclass(frozen=True, slots=True)
class QuoteIds:
    """Check ids of a composite's quote part."""

    scheme: str

    def __getitem__(self, name: str) -> str:
        return f"{self.scheme}.{name}"


def require_scheme(signature: Signature, ids: QuoteIds, *, schemes: frozenset[int], allow_sha1: bool = False) -> None:
    """Refuse a signature by a scheme that the cloud's AKs do not have, or by a hash weaker than SHA-256."""
    strong = signature.hash in STRONG_HASHES or (allow_sha1 and signature.hash == SHA1.id)
    if signature.scheme not in schemes or not strong:
        got = f"{_SCHEMES[signature.scheme]} with {HASHES[signature.hash].name}"
        want = f"{' or '.join(sorted(_SCHEMES[s] for s in schemes))} with sha256 or stronger"
        raise EvidenceRejected(ids["quote.scheme"], mismatch("quote_sig", got, want))


def require_signature(key: Key, signature: Signature, raw_quote: bytes, ids: QuoteIds) -> None:
    """Refuse a quote that the AK did not sign."""
    if not is_signed_by(key, signature, raw_quote):
        raise EvidenceRejected(ids["quote.signature"], "quote: signature does not verify with the AK")


def require_digest(quote: Quote, signature: Signature, banks: Mapping[str, Mapping[int, bytes]], ids: QuoteIds) -> None:
    """Refuse PCR values that do not hash to the quote's digest, by the hash of the *signature*, not of the bank."""
    values = selected_values(quote.selections, banks)
    if values is None:
        raise EvidenceRejected(ids["pcrs.digest"], "pcrs: a selected PCR has no value")
    algorithm = HASHES[signature.hash]
    got = b"" if algorithm.new is None else algorithm.digest(values)
    if got != quote.pcr_digest:
        raise EvidenceRejected(
            ids["pcrs.digest"], mismatch("hash of the PCR values", got.hex(), quote.pcr_digest.hex())
        )


def _require_selection(tpm: VtpmQuote, ids: QuoteIds) -> None:
    selections = tpm.quote.selections
    if len(selections) != 1:
        raise EvidenceRejected(ids["quote.selection"], mismatch("pcrSelect banks", len(selections), "exactly one"))
    if selections[0].algorithm not in STRONG_HASHES:
        name = HASHES[selections[0].algorithm].name
        raise EvidenceRejected(ids["quote.selection"], mismatch("pcrSelect bank", name, "sha256 or stronger"))
    if not selections[0].pcrs:
        raise EvidenceRejected(ids["quote.selection"], mismatch("pcrSelect", "no PCR", "at least one"))


def _require_pcrs(tpm: VtpmQuote, ids: QuoteIds) -> None:
    want = {HASHES[s.algorithm].name: list(s.pcrs) for s in tpm.quote.selections}
    got = {bank: sorted(values) for bank, values in tpm.banks.items()}
    if got != want:
        raise EvidenceRejected(ids["pcrs.selection"], mismatch("pcrs", got, f"exactly the quoted ones, {want}"))


def _require_measured(tpm: VtpmQuote, ids: QuoteIds) -> None:
    for bank, values in tpm.banks.items():
        zero = [pcr for pcr in sorted(FIRMWARE_PCRS & values.keys()) if not any(values[pcr])]
        if zero:
            detail = f"PCRs {zero} ({bank}): got all zero, want what firmware measured"
            raise EvidenceRejected(ids["pcrs.zero"], detail)


def _require_replay(tpm: VtpmQuote, ids: QuoteIds) -> None:
    if tpm.log is None:
        return
    for bank, values in tpm.banks.items():
        require_replay(tpm.log, HASHES_BY_NAME[bank], values, must_explain=LOGGED_PCRS, check_id=ids["eventlog.replay"])


def _require_event_data(tpm: VtpmQuote, ids: QuoteIds) -> None:
    if tpm.log is not None:
        banks = tuple(s.algorithm for s in tpm.quote.selections)
        require_data(tpm.log, check_id=ids["eventlog.data"], algorithms=banks, types=DATA_IS_HASHED_STRICTLY)


_QUOTE_PCRS: Final = "have the attester quote one SHA-256 bank and send exactly the quoted PCR values"
_LOG: Final = "send the event log of this very boot, unchanged (binary_bios_measurements)"


def quote_checks(
    scheme: str, key_of: Callable[[Subject[Any, Any]], Key], *, schemes: frozenset[int]
) -> tuple[Check[Any, Any], ...]:
    """Return the checks of the quote part, in order. ``key_of``: the AK, once something vouches for it; its no comes first."""
    ids = QuoteIds(scheme)

    def tpm(subject: Subject[Any, Any]) -> VtpmQuote:
        found: VtpmQuote = subject.evidence.tpm
        return found

    def check_scheme(subject: Subject[Any, Any]) -> None:
        require_scheme(tpm(subject).signature, ids, schemes=schemes)

    def check_signature(subject: Subject[Any, Any]) -> None:
        part = tpm(subject)
        require_signature(key_of(subject), part.signature, part.raw[QUOTE], ids)

    def check_digest(subject: Subject[Any, Any]) -> None:
        part = tpm(subject)
        require_digest(part.quote, part.signature, part.banks, ids)

    def over(require: Callable[[VtpmQuote, QuoteIds], None]) -> Callable[[Subject[Any, Any]], None]:
        return lambda subject: require(tpm(subject), ids)

    return (
        Check(ids["quote.scheme"], check_scheme, remedy="quote with the cloud's own AK and SHA-256"),
        Check(ids["quote.signature"], check_signature, remedy="quote with the AK of this very machine"),
        Check(ids["quote.selection"], over(_require_selection), remedy=_QUOTE_PCRS),
        Check(ids["pcrs.selection"], over(_require_pcrs), remedy=_QUOTE_PCRS),
        Check(
            ids["pcrs.digest"], check_digest, remedy="read the PCRs again after quoting: one was extended in between"
        ),
        Check(ids["pcrs.zero"], over(_require_measured), remedy="boot with a firmware that measures into PCR 0 to 7"),
        Check(ids["eventlog.replay"], over(_require_replay), remedy=_LOG),
        Check(ids["eventlog.data"], over(_require_event_data), remedy=_LOG),
    )
