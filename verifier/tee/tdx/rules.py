"""Is the trust domain wanted? Rules of design.md section 5, one id each; docs/tee/tdx.md says what each means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.tee.dcap import layout as dcap
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.rules import Judge, bin_of, compare_bits, equals, platform_rules, unless_allowed
from verifier.tee.scheme import Bin, Verified
from verifier.tee.tcg.closed import judge_rules
from verifier.tee.tcg.data import proven_secure_boot
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tdx.decode import Evidence
from verifier.tee.tdx.layout import FIELDS, NAME

TdxVerified: TypeAlias = Verified[Evidence, DcapCollateral]
TdxRule: TypeAlias = Rule[Any]

_ZERO_48: Final = bytes(48).hex()
_ZERO_8: Final = bytes(8).hex()
_ATTRIBUTES: Final[Mapping[str, int]] = MappingProxyType(
    {"pks": dcap.TD_PKS, "key_locker": dcap.TD_KL, "perfmon": dcap.TD_PERFMON}
)
_KNOWN_ATTRIBUTES: Final = dcap.TD_TUD_MASK | sum(
    1 << bit for bit in (*_ATTRIBUTES.values(), dcap.TD_SEPT_VE_DISABLE, dcap.TD_MIGRATABLE)
)
_RTMR0: Final = 1  # CC measurement register


def _bit(bit: int, *, wanted: bool = False) -> Any:
    return lambda verified: verified.evidence.report.attribute(bit) is not wanted


def _unknown(verified: TdxVerified) -> bool:
    return bool(int.from_bytes(verified.evidence.report.tdattributes, "little") & ~_KNOWN_ATTRIBUTES)


def _mrservicetd(verified: TdxVerified) -> bytes:
    """A TD report 1.0 has none: no service TD can be bound to such a TD."""
    return verified.evidence.report.mrservicetd or bytes(48)


def _service(
    rule_id: str, exception: str, judge: Judge, field: str, default: Any, claim: TrustClaim, remedy: str
) -> TdxRule:
    return Rule(
        id=rule_id,
        scope="service",
        field=exception,
        judge=judge,
        layout_fields=(field,),
        default=default,
        trust_claim=claim,
        remedy=remedy,
    )


_SERVICE: Final[tuple[TdxRule, ...]] = (
    _service(
        "tdx.debug",
        "allow_debug",
        unless_allowed("debug", lambda verified: verified.evidence.report.is_debug),
        "tdattributes",
        default=False,
        claim="runtime-opaque",
        remedy="launch the TD with bits 0 to 7 of its attributes (DEBUG and the rest of TUD) zero",
    ),
    _service(
        "tdx.sept-ve-disable",
        "allow_sept_ve",
        unless_allowed("sept_ve", _bit(dcap.TD_SEPT_VE_DISABLE, wanted=True)),
        "tdattributes",
        default=False,
        claim="runtime-opaque",
        remedy="launch the TD with SEPT_VE_DISABLE: without it the host injects #VE on private pages",
    ),
    _service(
        "tdx.migratable",
        "allow_migratable",
        unless_allowed("migratable", _bit(dcap.TD_MIGRATABLE)),
        "tdattributes",
        default=False,
        claim="runtime-opaque",
        remedy="launch the TD without MIGRATABLE, or name the exception and the migration TD's mrservicetd",
    ),
    _service(
        "tdx.tdattributes.unknown",
        "allow_unknown_tdattributes",
        unless_allowed("unknown_tdattributes", _unknown),
        "tdattributes",
        default=False,
        claim="configuration",
        remedy="launch the TD without attributes that are not known here",
    ),
    _service(
        "tdx.mrservicetd",
        "mrservicetd",
        equals(_mrservicetd),
        "mrservicetd",
        default=_ZERO_48,
        claim="runtime-opaque",
        remedy="launch the TD without a service TD bound to it, or name that one's mrservicetd in the exceptions",
    ),
    _service(
        "tdx.mrsignerseam",
        "mrsignerseam",
        equals(lambda verified: verified.evidence.report.mrsignerseam),
        "mrsignerseam",
        default=_ZERO_48,
        claim="hardware",
        remedy="have the host load Intel's TDX module, whose signer is zero",
    ),
    _service(
        "tdx.seamattributes",
        "seamattributes",
        equals(lambda verified: verified.evidence.report.seamattributes),
        "seamattributes",
        default=_ZERO_8,
        claim="hardware",
        remedy="have the host load a TDX module without attributes (a production one)",
    ),
)


def _one_of(name: str) -> Judge:
    """Judge a field of bytes against a list of exact values."""

    def judge(verified: TdxVerified, expected: Any) -> Judgement:
        seen = getattr(verified.evidence.report, name).hex()
        return Judgement(seen in expected, seen)

    return judge


def _tdattributes(verified: TdxVerified, expected: Any) -> Judgement:
    report = verified.evidence.report
    return compare_bits({name: report.attribute(bit) for name, bit in _ATTRIBUTES.items()}, expected)


def _event_log(verified: TdxVerified, expected: Any) -> Judgement:
    evidence = verified.evidence
    detail = judge_rules(expected, evidence.log, evidence.registers, evidence.replayed, SHA384)
    return Judgement(not detail, None if evidence.log is None else len(evidence.log.events), detail)


def _secure_boot(verified: TdxVerified, expected: Any) -> Judgement:
    evidence = verified.evidence
    value = evidence.replayed.get(_RTMR0)
    # A log proves nothing about a register that it does not give.
    proves = value is not None and value == evidence.report.rtmr0
    seen = proven_secure_boot(evidence.log, SHA384, _RTMR0) if proves and evidence.log is not None else None
    return Judgement(seen is not None and (seen == "on") is expected, seen)


def _rtmrs(verified: TdxVerified, expected: Any) -> Judgement:
    values = verified.evidence.report.rtmrs
    if not expected:
        return Judgement(ok=False, seen=None, detail="rtmrs: nothing to compare")
    seen = {index: values[int(index)].hex() for index in expected}
    wrong = [
        f"RTMR{index}: got {seen[index]}, want {expected[index]}"
        for index in expected
        if seen[index] != expected[index]
    ]
    return Judgement(not wrong, seen, "; ".join(wrong))


def _measured(verified: TdxVerified, expected: Any) -> Judgement:
    report, place, digest = verified.evidence.report, expected.get("place"), expected.get("digest")
    value = report.rtmr3 if place == "rtmr3" else report.mrconfigid
    seen = {"place": place, "value": value.hex()}
    if place not in ("rtmr3", "mrconfigid") or not isinstance(digest, str):
        return Judgement(ok=False, seen=seen, detail="config: nothing to compare")
    if digest == "none":
        return Judgement(not any(value), seen)
    want = bytes.fromhex(digest)
    if place == "rtmr3":
        want = hashlib.sha384(bytes(48) + want).digest()
    return Judgement(value == want, seen)


def _firmware(rule_id: str, field: str, judge: Judge, claim: TrustClaim, remedy: str, *fields: str) -> TdxRule:
    return Rule(
        id=rule_id,
        scope="firmware",
        field=field,
        judge=judge,
        layout_fields=fields or (field,),
        trust_claim=claim,
        remedy=remedy,
    )


_NEW_VERSION: Final = "start the TD that the identity is of; after an update, publish a new version of the identity"
_SEND_LOG: Final = "have the attester send the boot's CCEL log; publish rules that explain every event"


def _exactly(name: str, claim: TrustClaim) -> TdxRule:
    judge = equals(lambda verified: getattr(verified.evidence.report, name))
    return _firmware(f"tdx.{name}", name, judge, claim, _NEW_VERSION)


_FIRMWARE: Final[tuple[TdxRule, ...]] = (
    _firmware("tdx.mrseam", "mrseam", _one_of("mrseam"), "hardware", "add the MRSEAM of the host's TDX module"),
    _firmware("tdx.mrtd", "mrtd", _one_of("mrtd"), "executables", _NEW_VERSION),
    _firmware("tdx.tdattributes", "tdattributes", _tdattributes, "configuration", _NEW_VERSION),
    _exactly("xfam", "configuration"),
    _exactly("mrowner", "configuration"),
    _exactly("mrownerconfig", "configuration"),
    # What a firmware says that it measured is worth no more than the firmware: MRTD alone says what started.
    _exactly("rtmr0", "configuration"),
    _firmware("tdx.firmware.event-log", "event_log", _event_log, "configuration", _SEND_LOG, "rtmr0"),
    _firmware(
        "tdx.firmware.secure-boot",
        "secure_boot",
        _secure_boot,
        "configuration",
        "turn Secure Boot on, and have the attester send the boot's CCEL log",
        "rtmr0",
    ),
)


def _measures_boot(expected: Any) -> bool:
    """RTMR1 and RTMR2 hold boot loader, kernel and command line; RTMR3 is extended by what they started."""
    return "1" in expected and "2" in expected


_WORKLOAD: Final[tuple[TdxRule, ...]] = (
    Rule(
        id="tdx.rtmrs",
        scope="workload",
        field="rtmrs",
        judge=_rtmrs,
        layout_fields=("rtmr1", "rtmr2", "rtmr3"),
        trust_claim="executables",
        measures=_measures_boot,
        remedy="compare the machine's RTMRs with the identity; after an update, publish a new version of it",
    ),
    Rule(
        id="tdx.workload.event-log",
        scope="workload",
        field="event_log",
        judge=_event_log,
        layout_fields=("rtmr0", "rtmr1", "rtmr2", "rtmr3"),
        trust_claim="executables",
        remedy=_SEND_LOG,
    ),
)

_CONFIG: Final[tuple[TdxRule, ...]] = (
    Rule(
        id="tdx.config",
        scope="config",
        field="measured",
        judge=_measured,
        layout_fields=("mrconfigid", "rtmr3"),
        trust_claim="configuration",
        remedy="launch the TD with the SHA-384 of the attester's configuration as MRCONFIGID, or let it extend RTMR3 once",
        mandatory=True,
    ),
)

RULES: Final[tuple[TdxRule, ...]] = (
    *_SERVICE,
    *platform_rules(NAME, ("tee_tcb_svn", "tee_tcb_svn2")),
    *_FIRMWARE,
    *_WORKLOAD,
    *_CONFIG,
)

_JUDGED: Final = frozenset(name for rule in RULES for name in rule.layout_fields)
BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: bin_of(name, _JUDGED) for name in FIELDS})
