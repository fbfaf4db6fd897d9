"""Rules over a vTPM's quoted PCRs, under the composite's own ids. Judged only after the quote was verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.core.rules import Rule
from verifier.formats.encoding import sha256
from verifier.tee.judges import AnyVerified, Rows, extended_once, over_registers, registers
from verifier.tee.scheme import Bin, Matched
from verifier.tee.tcg.judges import event_log, secure_boot
from verifier.tee.tcg.layout import SHA256
from verifier.tee.vtpm.quote import FIELDS, VtpmQuote

_RULED: Final = frozenset(("tpm.pcrs", "tpm.eventlog"))
_IGNORED: Final = frozenset(("tpm.magic", "tpm.type", "tpm.signature"))  # checks decide


def _bin(name: str) -> Bin:
    if name in _RULED:
        return "rules"
    if name == "tpm.extra_data":
        return "bound"
    return "ignored" if name in _IGNORED else "reported"


BINS: Final[Mapping[str, Bin]] = {name: _bin(name) for name in FIELDS}


def _tpm(verified: AnyVerified) -> VtpmQuote:
    found: VtpmQuote = verified.evidence.tpm
    return found


def quoted(verified: AnyVerified) -> Mapping[int, bytes]:
    """Return the quoted PCRs of the SHA-256 bank; empty where another bank was quoted."""
    return _tpm(verified).banks.get(SHA256.name, {})


def vtpm_rules(row: Rows) -> tuple[Rule[AnyVerified], ...]:
    """Return the rules of PCRs, event log and configuration under the composite's name."""
    pcrs, log = registers("PCR ", quoted), event_log(quoted, SHA256)
    extended = extended_once("PCR ", quoted, lambda digest: sha256(bytes(SHA256.size) + digest))
    return (
        row("firmware.pcrs", "firmware.pcrs", pcrs, "executables", "tpm.pcrs"),
        row("firmware.event-log", "firmware.event_log", log, "executables", "tpm.eventlog"),
        row(
            "firmware.secure-boot", "firmware.secure_boot", secure_boot(quoted, SHA256), "configuration", "tpm.eventlog"
        ),
        row("workload.pcrs", "workload.pcrs", pcrs, "executables", "tpm.pcrs"),
        row("workload.event-log", "workload.event_log", log, "executables", "tpm.eventlog"),
        row("config.extended", "config.extended", extended, "configuration", "tpm.pcrs", mandatory=True),
    )


def measurement(verified: AnyVerified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over the PCRs that matched identities select; "" where they select none of the quote's SHA-256 bank."""
    return over_registers(quoted(verified), matched)


def observed_pcrs(verified: AnyVerified) -> dict[str, Any]:
    """Return PCRs 0 to 7 and Secure Boot as an identity of this machine has them."""
    values = quoted(verified)
    return {"pcrs": {str(i): values[i].hex() for i in range(8) if i in values} or None, "event_log": None}
