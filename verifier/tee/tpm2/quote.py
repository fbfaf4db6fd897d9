"""Steps over a quote and what stands beside it, shared by ``tpm2``, every vTPM and cases. Each raises ``Failed`` or returns nothing.

Checked: signature by the key, one strong bank that is selected, PCR values that are the quoted ones and hash to the quote's digest,
firmware's PCRs that are not zero, the log's replay and its data. Not checked: who vouches for the key, and the challenge.
Source: TCG TPM 2.0 Library Parts 1 to 3, revision 1.59.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from verifier.formats.errors import Failed, mismatch
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.banks import Banks
from verifier.tee.tcg.data import DATA_IS_HASHED_STRICTLY, require_data
from verifier.tee.tcg.layout import HASHES, HASHES_BY_NAME, SHA1, STRONG_HASHES
from verifier.tee.tpm2.keys import Key, is_signed_by
from verifier.tee.tpm2.layout import ALG_ECDSA, ALG_RSAPSS, ALG_RSASSA, Quote, Selection, Signature

# PCRs that firmware and boot loaders extend and log. Left out: 10 (IMA, a list of its own), 15 (the attester's configuration,
# extended after the boot) and 16 to 23 (resettable). Those have to replay only where the log has events for them. PCR 11 may be some
# boot phases further on than the log says.
LOGGED_PCRS: Final = frozenset((*range(10), 11, 12, 13, 14))
FIRMWARE_PCRS: Final = frozenset(range(8))
_SCHEMES: Final[Mapping[int, str]] = {ALG_RSASSA: "RSASSA", ALG_RSAPSS: "RSAPSS", ALG_ECDSA: "ECDSA"}

ALL_SCHEMES: Final = frozenset(_SCHEMES)


def require_scheme(signature: Signature, *, schemes: frozenset[int], allow_sha1: bool = False) -> None:
    """Refuse a signature by a scheme that the keys in question do not have, or by a hash weaker than SHA-256."""
    strong = signature.hash in STRONG_HASHES or (allow_sha1 and signature.hash == SHA1.id)
    if signature.scheme not in schemes or not strong:
        got = f"{_SCHEMES[signature.scheme]} with {HASHES[signature.hash].name}"
        want = f"{' or '.join(sorted(_SCHEMES[s] for s in schemes))} with sha256 or stronger"
        raise Failed(mismatch("quote_sig", got, want))


def require_signature(key: Key, signature: Signature, raw_quote: bytes) -> None:
    """Refuse a quote that the attestation key did not sign."""
    if not is_signed_by(key, signature, raw_quote):
        raise Failed("quote: signature does not verify with the AK")


def require_selection(quote: Quote) -> None:
    """Refuse a quote that does not select exactly one bank, SHA-256 or stronger, with at least one PCR."""
    selections = quote.selections
    if len(selections) != 1:
        raise Failed(mismatch("pcrSelect banks", len(selections), "exactly one"))
    if selections[0].algorithm not in STRONG_HASHES:
        raise Failed(mismatch("pcrSelect bank", HASHES[selections[0].algorithm].name, "sha256 or stronger"))
    if not selections[0].pcrs:
        raise Failed(mismatch("pcrSelect", "no PCR", "at least one"))


def require_some_selection(quote: Quote) -> None:
    """Refuse a quote that selects nothing, or a bank twice: all that is asked of a case's."""
    algorithms = [s.algorithm for s in quote.selections]
    if not any(s.pcrs for s in quote.selections) or len(set(algorithms)) != len(algorithms):
        raise Failed("pcrSelect: got no PCR, or a bank twice, want each bank once")


def selected_values(selections: tuple[Selection, ...], banks: Banks) -> bytes | None:
    """Join the values of all selected PCRs, banks in the order of selection, PCRs ascending; ``None`` if one is missing."""
    values: list[bytes] = []
    for selection in selections:
        bank = banks.get(HASHES[selection.algorithm].name, {})
        for pcr in selection.pcrs:
            if pcr not in bank:
                return None
            values.append(bank[pcr])
    return b"".join(values)


def require_pcrs(quote: Quote, banks: Banks) -> None:
    """Refuse PCR values of others than exactly the quoted registers."""
    want = {HASHES[s.algorithm].name: list(s.pcrs) for s in quote.selections}
    got = {bank: sorted(values) for bank, values in banks.items()}
    if got != want:
        raise Failed(mismatch("pcrs", got, f"exactly the quoted ones, {want}"))


def require_digest(quote: Quote, signature: Signature, banks: Banks) -> None:
    """Refuse PCR values that do not hash to the quote's digest, by the hash of the *signature*, not of the bank."""
    values = selected_values(quote.selections, banks)
    if values is None:
        raise Failed("pcrs: a selected PCR has no value")
    algorithm = HASHES[signature.hash]
    got = b"" if algorithm.new is None else algorithm.digest(values)
    if got != quote.pcr_digest:
        raise Failed(mismatch("hash of the PCR values", got.hex(), quote.pcr_digest.hex()))


def require_measured(banks: Banks) -> None:
    """Refuse a machine whose firmware measured nothing into one of PCR 0 to 7."""
    for bank, values in banks.items():
        zero = [pcr for pcr in sorted(FIRMWARE_PCRS & values.keys()) if not any(values[pcr])]
        if zero:
            raise Failed(f"PCRs {zero} ({bank}): got all zero, want what firmware measured")


def require_log(evidence: Any, replayed: Any) -> None:
    """Refuse a log, where one came, that does not give the quoted PCRs. ``replayed``: which PCRs may go on behind the log."""
    if evidence.log is not None:
        for bank, values in evidence.banks.items():
            replayed(evidence.log, HASHES_BY_NAME[bank], values, must_explain=LOGGED_PCRS)


def require_event_data(evidence: Any) -> None:
    """Refuse a log, where one came, of which data that are what was hashed do not hash to their digest in the quoted bank."""
    if evidence.log is not None:
        banks = tuple(s.algorithm for s in evidence.quote.selections)
        require_data(evidence.log, algorithms=banks, types=DATA_IS_HASHED_STRICTLY)


def quote_checks(scheme: str, tpm_of: Callable[[Any], Any], replayed: Any) -> tuple[Check[Any, Any], ...]:
    """Return the checks of what was quoted, in order, once the quote's signature was verified. ``tpm_of``: what holds the quote."""

    def over(step: Callable[[Any], None]) -> Callable[[Subject[Any, Any]], None]:
        return lambda subject: step(tpm_of(subject))

    return (
        Check(f"{scheme}.quote.selection", over(lambda tpm: require_selection(tpm.quote))),
        Check(f"{scheme}.pcrs.selection", over(lambda tpm: require_pcrs(tpm.quote, tpm.banks))),
        Check(f"{scheme}.pcrs.digest", over(lambda tpm: require_digest(tpm.quote, tpm.signature, tpm.banks))),
        Check(f"{scheme}.pcrs.zero", over(lambda tpm: require_measured(tpm.banks))),
        Check(f"{scheme}.eventlog.replay", over(lambda tpm: require_log(tpm, replayed))),
        Check(f"{scheme}.eventlog.data", over(require_event_data)),
    )


def quote_claims(quote: Quote) -> dict[str, Any]:
    """Say what a quote holds, in the notation of the cases."""
    return {
        "qualified_signer": quote.qualified_signer.hex(),
        "extra_data": quote.extra_data.hex(),
        "clock": quote.clock,
        "reset_count": quote.reset_count,
        "restart_count": quote.restart_count,
        "safe": quote.safe,
        "firmware": f"0x{quote.firmware_version:x}",
        "pcr_select": [[HASHES[s.algorithm].name, list(s.pcrs)] for s in quote.selections],
        "pcr_digest": quote.pcr_digest.hex(),
    }
