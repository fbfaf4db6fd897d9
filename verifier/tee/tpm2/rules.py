"""Rules of ``tpm2``: is a genuine quote of a known TPM *wanted*? PCR values are the quoted ones, their digest was verified.

Bins: every field of ``layout.FIELDS`` is judged by a rule here, bound to the challenge, reported, or ignored by rules
because a check already decides on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Judgement, Rule, Scope
from verifier.formats.encoding import sha256
from verifier.tee.ima.explain import explain
from verifier.tee.judges import (
    Rows,
    at_least,
    extended_once,
    observed_software,
    one_of,
    over_registers,
    registers,
    same,
)
from verifier.tee.scheme import Bin, Matched, Verified
from verifier.tee.tcg.bootrules import PCR_SECURE_BOOT, judge_secure_boot_keys, judge_uki
from verifier.tee.tcg.judges import event_log, secure_boot
from verifier.tee.tcg.layout import SHA256
from verifier.tee.tcg.uki import PCR_APPLICATION, PCR_COMMAND_LINE, PCR_UKI
from verifier.tee.tpm2.collateral import Collateral
from verifier.tee.tpm2.decode import Evidence
from verifier.tee.tpm2.measured import quoted_aggregates, quoted_list

Tpm2Verified = Verified[Evidence, Collateral]

BINS: Mapping[str, Bin] = {
    "ak_name": "reported",  # the token's ``instance``
    "magic": "ignored",
    "type": "ignored",
    "qualified_signer": "ignored",
    "extra_data": "bound",
    "clock": "reported",
    "reset_count": "reported",
    "restart_count": "reported",
    "safe": "rules",
    "firmware_version": "rules",
    "pcr_select": "reported",
    "pcr_digest": "reported",
    "signature": "ignored",
    "pcrs": "rules",
    "eventlog": "rules",
    "ascii_runtime_measurements": "rules",
}


def quoted(verified: Tpm2Verified) -> Mapping[int, bytes]:
    """Return the quoted PCRs of the SHA-256 bank; empty where another bank was quoted."""
    return verified.evidence.banks.get(SHA256.name, {})


def _ek(verified: Tpm2Verified) -> bytes | None:
    ak = verified.collateral.ak
    return None if ak is None else ak.ek_digest


def _firmware_version(verified: Tpm2Verified) -> str:
    return f"0x{verified.evidence.quote.firmware_version:016x}"


def _judge_secure_boot_keys(verified: Tpm2Verified, expected: Any) -> Judgement:
    evidence = verified.evidence
    detail = judge_secure_boot_keys(expected, evidence.log, quoted(verified), evidence.replayed)
    return Judgement(not detail, not detail, detail)


def _judge_uki(verified: Tpm2Verified, expected: Any) -> Judgement:
    evidence = verified.evidence
    detail, seen = judge_uki(expected, evidence.log, quoted(verified), evidence.replayed)
    return Judgement(not detail, seen, detail)


def _judge_ima(verified: Tpm2Verified, expected: Any) -> Judgement:
    evidence = verified.evidence
    if evidence.ima is None:
        return Judgement(ok=False, seen=None, detail="IMA list: got none, want one")
    if not quoted(verified):
        return Judgement(ok=False, seen=None, detail="quote: got another bank, want sha256")
    result = explain(quoted_list(evidence), expected, aggregates=quoted_aggregates(evidence, SHA256.name))
    ignored = len(evidence.ima.entries) - evidence.ima_quoted
    return Judgement(not result.detail, {**result.counts, "after_the_quote": ignored}, result.detail)


_ROW = Rows("tpm2")
_PCRS = registers("PCR ", quoted)
_EVENT_LOG = event_log(quoted, SHA256)
_EXTENDED = extended_once("PCR ", quoted, lambda digest: sha256(bytes(SHA256.size) + digest))
# fmt: off
RULES: tuple[Rule[Tpm2Verified], ...] = (
    _ROW("platform.root", "platform.root", same(lambda verified: verified.root), "instance-identity"),
    _ROW("platform.ek", "platform.ek_digests", one_of("EK", _ek), "instance-identity"),
    _ROW("platform.firmware-version", "platform.min_firmware_version",
         at_least("TPM firmware", _firmware_version, lambda text: int(text, 16)), "hardware", "firmware_version", fails_as=32),
    _ROW("platform.clock-safe", "platform.clock_safe", same(lambda verified: bool(verified.evidence.quote.safe)),
         "hardware", "safe", fails_as=32),
    _ROW("firmware.pcrs", "firmware.pcrs", _PCRS, "executables", "pcrs"),
    _ROW("firmware.event-log", "firmware.event_log", _EVENT_LOG, "executables", "eventlog"),
    _ROW("firmware.secure-boot", "firmware.secure_boot", secure_boot(quoted, SHA256), "configuration", "eventlog"),
    _ROW("firmware.secure-boot-keys", "firmware.secure_boot_keys", _judge_secure_boot_keys, "configuration", "eventlog"),
    _ROW("workload.pcrs", "workload.pcrs", _PCRS, "executables", "pcrs"),
    _ROW("workload.event-log", "workload.event_log", _EVENT_LOG, "executables", "eventlog"),
    _ROW("workload.uki", "workload.uki", _judge_uki, "executables", "eventlog", "pcrs"),
    _ROW("workload.ima", "workload.ima", _judge_ima, "file-system", "ascii_runtime_measurements"),
    _ROW("config.extended", "config.extended", _EXTENDED, "configuration", "pcrs", mandatory=True),
)
# fmt: on


_UKI_PCRS = {"applications": PCR_APPLICATION, "pcr11": PCR_UKI, "command_lines": PCR_COMMAND_LINE}


def _of_uki(values: Mapping[str, Any]) -> set[int]:
    """Return the PCRs that an identity selects by its image and its Secure Boot keys.

    PCR 10 is not among them, whatever ``ima`` says: it changes with every file that is used for the first time, and would make no two
    tokens of a workload alike.
    """
    chosen = {pcr for name, pcr in _UKI_PCRS.items() if (values.get("uki") or {}).get(name)}
    return chosen | ({PCR_SECURE_BOOT} if values.get("secure_boot_keys") else set())


def measurement(verified: Tpm2Verified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over the PCRs that matched identities select; "" where they select none of the quote's SHA-256 bank."""
    return over_registers(quoted(verified), matched, _of_uki)


def observe(verified: Tpm2Verified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this machine says of its software; PCR 0 to 7 are worked out from the rules."""
    return {"workload": {"pcrs": observed_software(quoted(verified))}}
