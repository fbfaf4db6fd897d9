"""Checks of ``tpm2`` on the IMA list: that it is this machine's, of this boot, up to what the quote says.

Checked: every template hash, that PCR 10 holds the quoted value after some entry, that the list begins with ``boot_aggregate`` and
that this one is over the quoted PCRs. Entries behind the quoted one are ignored; whether the files are wanted is for ``rules``.
"""

from __future__ import annotations

from verifier.formats.errors import Failed, mismatch
from verifier.tee.ima.layout import PCR_IMA, Entry
from verifier.tee.ima.replay import boot_aggregates, first_inconsistent, is_boot_aggregate, is_padded_sha1
from verifier.tee.scheme import Check, Subject
from verifier.tee.tcg.layout import HASHES_BY_NAME
from verifier.tee.tpm2.collateral import Collateral
from verifier.tee.tpm2.decode import Evidence

# What kernels since 5.8 hash; a quote without PCR 8 and 9 can neither prove nor disprove theirs.
_AGGREGATED = frozenset(range(10))


def quoted_list(evidence: Evidence) -> tuple[Entry, ...]:
    """Return the entries that the quoted PCR 10 bears out; none without a list."""
    return () if evidence.ima is None else evidence.ima.entries[: evidence.ima_quoted]


def quoted_aggregates(evidence: Evidence, bank: str) -> frozenset[bytes]:
    """Return what ``boot_aggregate`` may be, by the quoted PCRs of a bank; empty where they are not quoted."""
    return boot_aggregates(HASHES_BY_NAME[bank], evidence.banks.get(bank, {}))


def _check_template(subject: Subject[Evidence, Collateral]) -> None:
    if (ima := subject.evidence.ima) is None:
        return
    wrong = first_inconsistent(ima.entries)
    if wrong is not None:
        entry = ima.entries[wrong]
        where = entry.path.decode("utf-8", "backslashreplace")
        detail = f"template hash {entry.template_hash.hex()} is not that of its data"
        raise Failed(f"IMA list, entry {wrong} ({where}): {detail}")


def _check_replay(subject: Subject[Evidence, Collateral]) -> None:
    evidence = subject.evidence
    if evidence.ima is None or evidence.ima_quoted:
        return
    for bank, values in evidence.banks.items():
        if PCR_IMA not in values:
            raise Failed(f"IMA list: got no PCR {PCR_IMA} in the quote, want it beside a list")
        want = values[PCR_IMA]
        if is_padded_sha1(evidence.ima.entries, HASHES_BY_NAME[bank], want):
            why = "SHA-1 template hashes with zeros behind them, as kernels before 5.8 do"
            raise Failed(f"{bank} PCR {PCR_IMA}: got {why}, want hashes of the template data")
        count = len(evidence.ima.entries)
        detail = f"replay gives it after none of {count} entries, want {want.hex()} after some entry"
        raise Failed(f"{bank} PCR {PCR_IMA}: {detail}")


def _check_boot_aggregate(subject: Subject[Evidence, Collateral]) -> None:
    evidence, entries = subject.evidence, quoted_list(subject.evidence)
    if not entries:
        return
    if not is_boot_aggregate(entries[0]):
        got = entries[0].path.decode("utf-8", "backslashreplace")
        raise Failed(mismatch("IMA list, first entry", got, "boot_aggregate"))
    for entry in filter(is_boot_aggregate, entries):
        if not any(entry.digest):
            raise Failed("boot_aggregate: got zeros, want a TPM when IMA started")
        values = evidence.banks.get(entry.algorithm, {})
        if values.keys() >= _AGGREGATED and entry.digest not in quoted_aggregates(evidence, entry.algorithm):
            want = "the hash over the quoted PCRs 0 to 9, or 0 to 7"
            raise Failed(mismatch("boot_aggregate", entry.named_digest, want))


IMA_CHECKS: tuple[Check[Evidence, Collateral], ...] = (
    Check("tpm2.ima.template", _check_template),
    Check("tpm2.ima.replay", _check_replay),
    Check("tpm2.ima.boot-aggregate", _check_boot_aggregate),
)
