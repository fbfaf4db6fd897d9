"""Rules over a vTPM's quoted PCRs, under the composite's own ids. Judged only after the quote was verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from verifier.core.rules import Judgement, Rule
from verifier.formats.encoding import sha256
from verifier.tee.scheme import Bin, Matched, Verified
from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA256
from verifier.tee.vtpm.quote import FIELDS, VtpmQuote

AnyVerified = Verified[Any, Any]

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


def _judge_pcrs(verified: AnyVerified, expected: Any) -> Judgement:
    values = quoted(verified)
    if not expected:
        return Judgement(ok=False, seen=None, detail="pcrs: got nothing to compare, want at least one PCR")
    seen = {index: values[int(index)].hex() if int(index) in values else None for index in expected}
    wrong = sorted((index for index in expected if seen[index] != expected[index]), key=int)
    detail = "; ".join(f"PCR {i} (sha256): got {seen[i] or 'none in the quote'}, want {expected[i]}" for i in wrong)
    return Judgement(not wrong, seen, detail)


def _judge_event_log(verified: AnyVerified, expected: Any) -> Judgement:
    tpm = _tpm(verified)
    detail = judge_rules(expected, tpm.log, quoted(verified), tpm.replayed)
    return Judgement(not detail, None if tpm.log is None else len(tpm.log.events), detail)


def _judge_secure_boot(verified: AnyVerified, expected: Any) -> Judgement:
    tpm, register = _tpm(verified), 7
    value = tpm.replayed.get(register)
    # A log proves nothing about a register that it does not give.
    proves = value is not None and value == quoted(verified).get(register)
    seen = proven_secure_boot(tpm.log, SHA256, register) if proves and tpm.log is not None else None
    ok = seen is not None and (seen == "on") is expected
    want = "on" if expected else "off"
    return Judgement(ok, seen, "" if ok else f"Secure Boot: got {seen or 'nothing proven'}, want {want}")


def _judge_config(verified: AnyVerified, expected: Any) -> Judgement:
    pcr, digest = expected.get("pcr"), expected.get("digest")
    value = quoted(verified).get(pcr)
    seen = {"pcr": pcr, "value": None if value is None else value.hex()}
    if not isinstance(digest, str) or value is None:
        return Judgement(ok=False, seen=seen, detail=f"PCR {pcr}: got none in the quote's sha256 selection, want it")
    zero = bytes(SHA256.size)
    want = zero if digest == "none" else sha256(zero + bytes.fromhex(digest))
    detail = "" if value == want else f"PCR {pcr}: got {value.hex()}, want {want.hex()} ({digest} extended once)"
    return Judgement(value == want, seen, detail)


_PCRS: Final = "compare the machine's PCRs with the identity; after an update, publish a new version of it"
_LOG: Final = "have the attester send the boot's event log; publish rules that explain every event"
_BOOT: Final = "turn Secure Boot on, and have the attester send the boot's event log"
_CONFIG: Final = "reboot and let the attester measure the configuration that the identity names"


def vtpm_rules(scheme: str) -> tuple[Rule[AnyVerified], ...]:
    """Return the rules of PCRs, event log and configuration under the composite's name."""
    pcrs, log = ("tpm.pcrs",), ("tpm.eventlog",)
    return (
        Rule(
            id=f"{scheme}.firmware.pcrs",
            scope="firmware",
            field="pcrs",
            judge=_judge_pcrs,
            layout_fields=pcrs,
            remedy=_PCRS,
        ),
        Rule(
            id=f"{scheme}.firmware.event-log",
            scope="firmware",
            field="event_log",
            judge=_judge_event_log,
            layout_fields=log,
            remedy=_LOG,
        ),
        Rule(
            id=f"{scheme}.firmware.secure-boot",
            scope="firmware",
            field="secure_boot",
            judge=_judge_secure_boot,
            layout_fields=log,
            trust_claim="configuration",
            remedy=_BOOT,
        ),
        Rule(
            id=f"{scheme}.workload.pcrs",
            scope="workload",
            field="pcrs",
            judge=_judge_pcrs,
            layout_fields=pcrs,
            remedy=_PCRS,
        ),
        Rule(
            id=f"{scheme}.workload.event-log",
            scope="workload",
            field="event_log",
            judge=_judge_event_log,
            layout_fields=log,
            remedy=_LOG,
        ),
        Rule(
            id=f"{scheme}.config.extended",
            scope="config",
            field="extended",
            judge=_judge_config,
            layout_fields=pcrs,
            trust_claim="configuration",
            remedy=_CONFIG,
            mandatory=True,
        ),
    )


def measurement(verified: AnyVerified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over the raw values of all PCRs that matched firmware and workload identities select, each once, ascending.

    "" where they select none that is in the quote's SHA-256 bank (design.md section 4, "Token").
    """
    values = quoted(verified)
    indexes: set[int] = set()
    for identity in matched:
        if identity.scope in ("firmware", "workload"):
            indexes |= {int(index) for index in identity.values.get("pcrs") or {}}
            indexes |= {int(rule["index"]) for rule in identity.values.get("event_log") or ()}
    if not indexes or not indexes <= values.keys():
        return ""
    return sha256(b"".join(values[index] for index in sorted(indexes))).hex()


def observed_pcrs(verified: AnyVerified) -> dict[str, Any]:
    """Return PCRs 0 to 7 and Secure Boot as an identity of this machine has them."""
    values = quoted(verified)
    return {"pcrs": {str(i): values[i].hex() for i in range(8) if i in values} or None, "event_log": None}


# What runs behind the boot loader. Not 10, IMA's, which every file that is opened extends.
_SOFTWARE: Final = (8, 9, 11, 12, 13, 14)


def observed_software(verified: AnyVerified) -> dict[str, str] | None:
    """Return PCRs 8 to 14 without IMA's, where something was measured."""
    values = quoted(verified)
    return {str(i): values[i].hex() for i in _SOFTWARE if i in values and any(values[i])} or None
