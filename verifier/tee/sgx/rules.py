"""Is the enclave wanted? Rules of design.md section 5, one id each; docs/tee/sgx.md says what each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.tee.dcap import layout as dcap
from verifier.tee.dcap.decode import SgxReport
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.rules import bin_of, equals, platform_rules, unless_allowed
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


def _service(rule_id: str, exception: str, judge: Any, field: str, remedy: str, claim: TrustClaim) -> SgxRule:
    return Rule(
        id=rule_id,
        scope="service",
        field=exception,
        judge=judge,
        layout_fields=(field,),
        default=False,
        trust_claim=claim,
        remedy=remedy,
    )


_SERVICE: Final[tuple[SgxRule, ...]] = (
    _service(
        "sgx.debug",
        "allow_debug",
        unless_allowed("debug", lambda verified: _report(verified).is_debug),
        "attributes",
        "launch the enclave without the attribute DEBUG",
        "runtime-opaque",
    ),
    _service(
        "sgx.provision-key",
        "allow_provision_key",
        unless_allowed("provision_key", _flag(dcap.SGX_PROVISION_KEY)),
        "attributes",
        "sign the enclave without the attribute PROVISIONKEY: it could link the machine over owners",
        "configuration",
    ),
    _service(
        "sgx.einittoken-key",
        "allow_einittoken_key",
        unless_allowed("einittoken_key", _flag(dcap.SGX_EINITTOKEN_KEY)),
        "attributes",
        "sign the enclave without the attribute EINITTOKEN_KEY: it could launch others",
        "configuration",
    ),
    _service(
        "sgx.attributes.unknown",
        "allow_unknown_attributes",
        unless_allowed("unknown_attributes", _is_odd),
        "attributes",
        "launch the enclave initialised and without attributes that are not known here",
        "configuration",
    ),
    _service(
        "sgx.miscselect.unknown",
        "allow_unknown_miscselect",
        unless_allowed("unknown_miscselect", lambda verified: bool(_report(verified).miscselect & ~_KNOWN_MISCSELECT)),
        "miscselect",
        "sign the enclave without MISCSELECT bits that are not known here",
        "configuration",
    ),
)


def _mrenclave(verified: SgxVerified, expected: Any) -> Judgement:
    seen = _report(verified).mrenclave.hex()
    return Judgement(seen in expected, seen)


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


def _attributes(verified: SgxVerified, expected: Any) -> Judgement:
    seen = _report(verified).attributes.hex()
    mask = int(expected["mask"], 16)
    return Judgement(int(seen, 16) & mask == int(expected["value"], 16), seen)


def _miscselect(verified: SgxVerified, expected: Any) -> Judgement:
    seen = _report(verified).miscselect
    return Judgement(seen & int(expected["mask"], 16) == int(expected["value"], 16), f"0x{seen:08x}")


def _configuration(verified: SgxVerified, expected: Any) -> Judgement:
    report = _report(verified)
    seen = {"configid": report.configid.hex(), "configsvn": report.configsvn}
    least = expected.get("minimum_configsvn", 0)
    return Judgement(seen["configid"] == expected.get("configid") and report.configsvn >= least, seen)


def _exact(rule_id: str, name: str) -> SgxRule:
    return Rule(
        id=rule_id,
        scope="workload",
        field=name,
        judge=equals(lambda verified: getattr(verified.evidence.report, name)),
        layout_fields=(name,),
        trust_claim="configuration",  # whoever signs an enclave chooses it: alone it says nothing of what runs
        remedy=f"run the enclave that the identity is of, or publish a version of it with this {name}",
    )


_REMEDY = "run the enclave that the identity is of; after an update, publish a new version of the identity"
_WORKLOAD: Final[tuple[SgxRule, ...]] = (
    Rule(
        id="sgx.mrenclave",
        scope="workload",
        field="mrenclave",
        judge=_mrenclave,
        layout_fields=("mrenclave",),
        remedy=_REMEDY,
    ),
    Rule(
        id="sgx.signed",
        scope="workload",
        field="signed",
        judge=_signed,
        layout_fields=("mrsigner", "isvprodid", "isvsvn"),
        remedy="run an enclave of this signer and product, at least as new as minimum_isvsvn",
    ),
    Rule(
        id="sgx.attributes",
        scope="workload",
        field="attributes",
        judge=_attributes,
        layout_fields=("attributes",),
        trust_claim="configuration",
        remedy="launch the enclave with the attributes that the identity names, under its mask",
    ),
    Rule(
        id="sgx.miscselect",
        scope="workload",
        field="miscselect",
        judge=_miscselect,
        layout_fields=("miscselect",),
        trust_claim="configuration",
        remedy="sign the enclave with the MISCSELECT that the identity names, under its mask",
    ),
    _exact("sgx.isvextprodid", "isvextprodid"),
    _exact("sgx.isvfamilyid", "isvfamilyid"),
)

_CONFIG: Final[tuple[SgxRule, ...]] = (
    Rule(
        id="sgx.configid",
        scope="config",
        field="configuration",
        judge=_configuration,
        layout_fields=("configid", "configsvn"),
        trust_claim="configuration",
        remedy="launch the enclave (with KSS) with the digest of the attester's configuration as CONFIGID",
        mandatory=True,
    ),
)

RULES: Final[tuple[SgxRule, ...]] = (*_SERVICE, *platform_rules(NAME, ()), *_WORKLOAD, *_CONFIG)

_JUDGED: Final = frozenset(name for rule in RULES for name in rule.layout_fields)
BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: bin_of(name, _JUDGED) for name in FIELDS})
