"""Is the trust domain wanted? One id each; docs/tee/tdx.md says what each means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope, TrustClaim
from verifier.tee.dcap import layout as dcap
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.rules import platform_rules, quote_bins
from verifier.tee.judges import Read, Rows, bits, equals, one_of, registers
from verifier.tee.scheme import Bin, Verified
from verifier.tee.tcg.judges import event_log, secure_boot
from verifier.tee.tcg.layout import SHA384
from verifier.tee.tdx.decode import Evidence
from verifier.tee.tdx.layout import FIELDS, NAME

TdxVerified: TypeAlias = Verified[Evidence, DcapCollateral]
TdxRule: TypeAlias = Rule[Any]

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


def _tdattributes(verified: TdxVerified) -> Mapping[str, bool]:
    return {name: verified.evidence.report.attribute(bit) for name, bit in _ATTRIBUTES.items()}


def _rtmrs(verified: TdxVerified) -> Mapping[int, bytes]:
    return dict(enumerate(verified.evidence.report.rtmrs))


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


def _measures_boot(expected: Any) -> bool:
    """RTMR1 and RTMR2 hold boot loader, kernel and command line; RTMR3 is extended by what they started."""
    return "1" in expected and "2" in expected


def _read(name: str) -> Read:
    """Read a field of the TD report."""
    return lambda verified: getattr(verified.evidence.report, name)


_ROW: Final = Rows(NAME)
_EVENT_LOG: Final = event_log(lambda verified: verified.evidence.registers, SHA384)
_SECURE_BOOT: Final = secure_boot(lambda verified: verified.evidence.registers, SHA384, _RTMR0)


def _zero(name: str, read: Read, size: int, claim: TrustClaim) -> TdxRule:
    """Judge a service field that is zero unless the policy names what stands there."""
    return _ROW(name, f"service.{name}", equals(read), claim, name, default=bytes(size).hex())


def _exactly(name: str) -> TdxRule:
    return _ROW(name, f"firmware.{name}", equals(_read(name)), "configuration", name)


# fmt: off
RULES: Final[tuple[TdxRule, ...]] = (
    _ROW.service("debug", "debug", _read("is_debug"), "runtime-opaque", "tdattributes"),
    _ROW.service("sept-ve-disable", "sept_ve", _bit(dcap.TD_SEPT_VE_DISABLE, wanted=True), "runtime-opaque",
                 "tdattributes"),
    _ROW.service("migratable", "migratable", _bit(dcap.TD_MIGRATABLE), "runtime-opaque", "tdattributes"),
    _ROW.service("tdattributes.unknown", "unknown_tdattributes", _unknown, "configuration", "tdattributes"),
    _zero("mrservicetd", _mrservicetd, 48, "runtime-opaque"),
    _zero("mrsignerseam", _read("mrsignerseam"), 48, "hardware"),
    _zero("seamattributes", _read("seamattributes"), 8, "hardware"),
    *platform_rules(_ROW, ("tee_tcb_svn", "tee_tcb_svn2")),
    _ROW("mrseam", "firmware.mrseam", one_of("MRSEAM", _read("mrseam")), "hardware", "mrseam"),
    _ROW("mrtd", "firmware.mrtd", one_of("MRTD", _read("mrtd")), "executables", "mrtd"),
    _ROW("tdattributes", "firmware.tdattributes", bits("tdattributes", _tdattributes), "configuration", "tdattributes"),
    _exactly("xfam"),
    _exactly("mrowner"),
    _exactly("mrownerconfig"),
    # What a firmware says that it measured is worth no more than the firmware: MRTD alone says what started.
    _exactly("rtmr0"),
    _ROW("firmware.event-log", "firmware.event_log", _EVENT_LOG, "configuration", "rtmr0"),
    _ROW("firmware.secure-boot", "firmware.secure_boot", _SECURE_BOOT, "configuration", "rtmr0"),
    _ROW("rtmrs", "workload.rtmrs", registers("RTMR", _rtmrs), "executables", "rtmr1", "rtmr2", "rtmr3",
         measures=_measures_boot),
    _ROW("workload.event-log", "workload.event_log", _EVENT_LOG, "executables", "rtmr0", "rtmr1", "rtmr2", "rtmr3"),
    _ROW("config", "config.measured", _measured, "configuration", "mrconfigid", "rtmr3", mandatory=True),
)
# fmt: on
BINS: Final[Mapping[str, Bin]] = quote_bins(FIELDS, RULES)


def observe(_verified: TdxVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say nothing more: what the rules saw is what an identity of this TD says."""
    return {}
