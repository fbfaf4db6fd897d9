"""Rules of ``tpm2``: is a genuine quote of a known TPM *wanted*? PCR values are the quoted ones, their digest was verified.

Bins: every field of ``layout.FIELDS`` is judged by a rule here, bound to the challenge, reported, or ignored by rules
because a check already decides on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verifier.core.rules import Judgement, Rule
from verifier.formats.encoding import sha256
from verifier.tee.ima.explain import explain
from verifier.tee.scheme import Bin, Matched, Verified
from verifier.tee.tcg.bootrules import PCR_SECURE_BOOT, judge_secure_boot_keys, judge_uki
from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA256
from verifier.tee.tcg.uki import PCR_APPLICATION, PCR_COMMAND_LINE, PCR_UKI
from verifier.tee.tpm2.decode import Evidence
from verifier.tee.tpm2.measured import quoted_aggregates, quoted_list
from verifier.tee.tpm2.verify import Collateral

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


def _judge_root(verified: Tpm2Verified, expected: Any) -> Judgement:
    return Judgement(verified.root == expected, verified.root)


def _judge_ek(verified: Tpm2Verified, expected: Any) -> Judgement:
    ak = verified.collateral.ak
    seen = "" if ak is None else ak.ek_digest.hex()
    return Judgement(bool(seen) and seen in expected, seen)


def _judge_firmware_version(verified: Tpm2Verified, expected: Any) -> Judgement:
    seen = verified.evidence.quote.firmware_version
    return Judgement(seen >= int(expected, 16), f"0x{seen:016x}")


def _judge_clock(verified: Tpm2Verified, expected: Any) -> Judgement:
    seen = bool(verified.evidence.quote.safe)
    return Judgement(seen is expected, seen)


def _judge_pcrs(verified: Tpm2Verified, expected: Any) -> Judgement:
    values = quoted(verified)
    if not expected:
        return Judgement(ok=False, seen=None, detail="pcrs: nothing to compare")
    seen = {index: values[int(index)].hex() if int(index) in values else None for index in expected}
    wrong = sorted((index for index in expected if seen[index] != expected[index]), key=int)
    detail = "" if not wrong else f"PCR {', '.join(wrong)} (sha256): not the reference value, or not in the quote"
    return Judgement(not wrong, seen, detail)


def _judge_event_log(verified: Tpm2Verified, expected: Any) -> Judgement:
    evidence = verified.evidence
    detail = judge_rules(expected, evidence.log, quoted(verified), evidence.replayed)
    return Judgement(not detail, None if evidence.log is None else len(evidence.log.events), detail)


def _judge_secure_boot(verified: Tpm2Verified, expected: Any) -> Judgement:
    evidence, register = verified.evidence, 7
    value = evidence.replayed.get(register)
    # A log proves nothing about a register that it does not give.
    proves = value is not None and value == quoted(verified).get(register)
    seen = proven_secure_boot(evidence.log, SHA256, register) if proves and evidence.log is not None else None
    return Judgement(seen is not None and (seen == "on") is expected, seen)


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


def _judge_config(verified: Tpm2Verified, expected: Any) -> Judgement:
    pcr, digest = expected.get("pcr"), expected.get("digest")
    value = quoted(verified).get(pcr)
    seen = {"pcr": pcr, "value": None if value is None else value.hex()}
    if not isinstance(digest, str) or value is None:
        return Judgement(ok=False, seen=seen, detail=f"PCR {pcr}: not in the quote's sha256 selection")
    zero = bytes(SHA256.size)
    return Judgement(value == (zero if digest == "none" else sha256(zero + bytes.fromhex(digest))), seen)


_REMEDY_PCRS = "compare the machine's PCRs with the identity; after an update, publish a new version of it"

RULES: tuple[Rule[Tpm2Verified], ...] = (
    Rule(
        id="tpm2.platform.root",
        scope="platform",
        field="root",
        judge=_judge_root,
        trust_claim="instance-identity",
        remedy="enrol the TPM under a root of the kind that the policy asks for",
    ),
    Rule(
        id="tpm2.platform.ek",
        scope="platform",
        field="ek_digests",
        judge=_judge_ek,
        trust_claim="instance-identity",
        remedy="put the TPM's EK digest into the platform identity, or use a machine that is listed",
    ),
    Rule(
        id="tpm2.platform.firmware-version",
        scope="platform",
        field="min_firmware_version",
        judge=_judge_firmware_version,
        layout_fields=("firmware_version",),
        trust_claim="hardware",
        fails_as=32,
        remedy="update the TPM's firmware",
    ),
    Rule(
        id="tpm2.platform.clock-safe",
        scope="platform",
        field="clock_safe",
        judge=_judge_clock,
        layout_fields=("safe",),
        trust_claim="hardware",
        fails_as=32,
        remedy="wait until the TPM has written its clock again (at most some hours after a power cut)",
    ),
    Rule(
        id="tpm2.firmware.pcrs",
        scope="firmware",
        field="pcrs",
        judge=_judge_pcrs,
        layout_fields=("pcrs",),
        trust_claim="executables",
        remedy=_REMEDY_PCRS,
    ),
    Rule(
        id="tpm2.firmware.event-log",
        scope="firmware",
        field="event_log",
        judge=_judge_event_log,
        layout_fields=("eventlog",),
        trust_claim="executables",
        remedy="have the attester send the boot's event log; publish rules that explain every event",
    ),
    Rule(
        id="tpm2.firmware.secure-boot",
        scope="firmware",
        field="secure_boot",
        judge=_judge_secure_boot,
        layout_fields=("eventlog",),
        trust_claim="configuration",
        remedy="turn Secure Boot on, and have the attester send the boot's event log",
    ),
    Rule(
        id="tpm2.firmware.secure-boot-keys",
        scope="firmware",
        field="secure_boot_keys",
        judge=_judge_secure_boot_keys,
        layout_fields=("eventlog",),
        trust_claim="configuration",
        remedy="compare PCR 7's events with the identity: enrol the keys that it names, boot what its authorities signed",
    ),
    Rule(
        id="tpm2.workload.pcrs",
        scope="workload",
        field="pcrs",
        judge=_judge_pcrs,
        layout_fields=("pcrs",),
        trust_claim="executables",
        remedy=_REMEDY_PCRS,
    ),
    Rule(
        id="tpm2.workload.event-log",
        scope="workload",
        field="event_log",
        judge=_judge_event_log,
        layout_fields=("eventlog",),
        trust_claim="executables",
        remedy="have the attester send the boot's event log; publish rules that explain every event",
    ),
    Rule(
        id="tpm2.workload.uki",
        scope="workload",
        field="uki",
        judge=_judge_uki,
        layout_fields=("eventlog", "pcrs"),
        trust_claim="executables",
        remedy="boot the image that the identity names, without a command line of the boot loader's; after an update, publish"
        " a new version (verifier identity compute)",
    ),
    Rule(
        id="tpm2.workload.ima",
        scope="workload",
        field="ima",
        judge=_judge_ima,
        layout_fields=("ascii_runtime_measurements",),
        trust_claim="file-system",
        remedy="remove the files that the detail names, or add their digests to a new version of the identity",
    ),
    Rule(
        id="tpm2.config.extended",
        scope="config",
        field="extended",
        judge=_judge_config,
        layout_fields=("pcrs",),
        trust_claim="configuration",
        remedy="reboot and let the attester measure the configuration that the identity names",
        mandatory=True,
    ),
)


_UKI_PCRS = {"applications": PCR_APPLICATION, "pcr11": PCR_UKI, "command_lines": PCR_COMMAND_LINE}


def measurement(verified: Tpm2Verified, matched: tuple[Matched, ...]) -> str:
    """SHA-256 over the raw values of all PCRs that matched firmware and workload identities select, each once, ascending.

    "" where they select none that is in the quote's SHA-256 bank. PCR 10 is not among them, whatever ``ima`` says: it changes with
    every file that is used for the first time, and would make no two tokens of a workload alike.
    """
    values = quoted(verified)
    indexes: set[int] = set()
    for identity in matched:
        if identity.scope in ("firmware", "workload"):
            indexes |= {int(index) for index in identity.values.get("pcrs") or {}}
            indexes |= {int(rule["index"]) for rule in identity.values.get("event_log") or ()}
            indexes |= {pcr for name, pcr in _UKI_PCRS.items() if (identity.values.get("uki") or {}).get(name)}
            indexes |= {PCR_SECURE_BOOT} if identity.values.get("secure_boot_keys") else set()
    if not indexes or not indexes <= values.keys():
        return ""
    return sha256(b"".join(values[index] for index in sorted(indexes))).hex()
