"""Is the enclave wanted? One id each; docs/tee/sgx.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope
from verifier.tee.dcap import layout as dcap
from verifier.tee.dcap.decode import SgxReport
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.rules import platform_rules, quote_bins
from verifier.tee.judges import Read, Rows, equals, masked, one_of
from verifier.tee.scheme import Bin, Verified
from verifier.tee.sgx.decode import Evidence
from verifier.tee.sgx.layout import FIELDS, NAME

SgxVerified: TypeAlias = Verified[Evidence, DcapCollateral]
SgxRule: TypeAlias = Rule[Any]

# SDM volume 3D, ATTRIBUTES.FLAGS: INIT, DEBUG, MODE64BIT, PROVISIONKEY, EINITTOKEN_KEY, CET, KSS, AEXNOTIFY.
_KNOWN_FLAGS: Final = sum(
    1 << bit
    for bit in (
        dcap.SGX_INIT,
        dcap.SGX_DEBUG,
        dcap.SGX_MODE64BIT,
        dcap.SGX_PROVISION_KEY,
        dcap.SGX_EINITTOKEN_KEY,
        dcap.SGX_CET,
        dcap.SGX_KSS,
        dcap.SGX_AEX_NOTIFY,
    )
)
# MISCSELECT: EXINFO, CPINFO. Both add information to the state save area and take nothing away.
_KNOWN_MISCSELECT: Final = 0b11


def _report(verified: SgxVerified) -> SgxReport:
    return verified.evidence.report


def _flag(bit: int) -> Callable[[SgxVerified], bool]:
    return lambda verified: bool(_report(verified).flags >> bit & 1)


def _is_odd(verified: SgxVerified) -> bool:
    flags = _report(verified).flags
    return bool(flags & ~_KNOWN_FLAGS) or not flags >> dcap.SGX_INIT & 1


def _signed(verified: SgxVerified, expected: Any) -> Judgement:
    report = _report(verified)
    seen = {"mrsigner": report.mrsigner.hex(), "isvprodid": report.isvprodid, "isvsvn": report.isvsvn}
    off = [
        f"{name}: got {seen[name]}, want {expected.get(name)}"
        for name in ("mrsigner", "isvprodid")
        if seen[name] != expected.get(name)
    ]
    least = expected.get("minimum_isvsvn")
    if not isinstance(least, int) or report.isvsvn < least:
        off.append(f"isvsvn: got {report.isvsvn}, want at least {least}")
    return Judgement(not off, seen, "; ".join(off))


def _configuration(verified: SgxVerified, expected: Any) -> Judgement:
    report = _report(verified)
    seen = {"configid": report.configid.hex(), "configsvn": report.configsvn}
    least = expected.get("minimum_configsvn", 0)
    return Judgement(seen["configid"] == expected.get("configid") and report.configsvn >= least, seen)


def _read(name: str) -> Read:
    """Read a field of the enclave's report."""
    return lambda verified: getattr(verified.evidence.report, name)


def _unknown_miscselect(verified: SgxVerified) -> bool:
    return bool(_report(verified).miscselect & ~_KNOWN_MISCSELECT)


_ROW: Final = Rows(NAME)
# fmt: off
RULES: Final[tuple[SgxRule, ...]] = (
    _ROW.service("debug", "debug", _read("is_debug"), "runtime-opaque", "attributes"),
    _ROW.service("provision-key", "provision_key", _flag(dcap.SGX_PROVISION_KEY), "configuration", "attributes"),
    _ROW.service("einittoken-key", "einittoken_key", _flag(dcap.SGX_EINITTOKEN_KEY), "configuration", "attributes"),
    _ROW.service("attributes.unknown", "unknown_attributes", _is_odd, "configuration", "attributes"),
    _ROW.service("miscselect.unknown", "unknown_miscselect", _unknown_miscselect, "configuration", "miscselect"),
    *platform_rules(_ROW, ()),
    _ROW("mrenclave", "workload.mrenclave", one_of("MRENCLAVE", _read("mrenclave")), "executables", "mrenclave"),
    _ROW("signed", "workload.signed", _signed, "executables", "mrsigner", "isvprodid", "isvsvn"),
    _ROW("attributes", "workload.attributes", masked(_read("attributes")), "configuration", "attributes"),
    _ROW("miscselect", "workload.miscselect", masked(_read("miscselect")), "configuration", "miscselect"),
    # The signer of an enclave chooses these two: alone they say nothing of what runs.
    _ROW("isvextprodid", "workload.isvextprodid", equals(_read("isvextprodid")), "configuration", "isvextprodid"),
    _ROW("isvfamilyid", "workload.isvfamilyid", equals(_read("isvfamilyid")), "configuration", "isvfamilyid"),
    _ROW("configid", "config.configuration", _configuration, "configuration", "configid", "configsvn", mandatory=True),
)
# fmt: on
BINS: Final[Mapping[str, Bin]] = quote_bins(FIELDS, RULES)


def observe(verified: SgxVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this enclave says beyond what a rule saw: signer, attributes whole, what it was configured with."""
    report = _report(verified)
    signed = {"mrsigner": report.mrsigner.hex(), "isvprodid": report.isvprodid, "minimum_isvsvn": report.isvsvn}
    workload = {
        "signed": signed,
        "attributes": {"value": report.attributes.hex(), "mask": "f" * 32},
        "miscselect": {"value": f"0x{report.miscselect:08x}", "mask": "0xffffffff"},
    }
    configuration = {"configid": report.configid.hex(), "minimum_configsvn": report.configsvn}
    return {"workload": workload, "config": {"configuration": configuration}}
