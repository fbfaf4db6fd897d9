"""Is the report wanted? Rules of design.md section 5, one id each; docs/tee/sev-snp.md says what each means."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.tee.scheme import Bin, Verified
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.decode import Report, tcb_parts
from verifier.tee.sev_snp.remedies import REMEDIES, TCB_WORDS
from verifier.tee.sev_snp.verify import SnpCollateral, product_of

SnpVerified: TypeAlias = Verified[Report, SnpCollateral]
SnpRule: TypeAlias = Rule[SnpVerified]
Judge: TypeAlias = Callable[[SnpVerified, Any], Judgement]


def _unless_allowed(name: str, is_set: Callable[[Report], bool]) -> Judge:
    """Judge a state that is refused unless the policy's exception (a boolean) allows it."""

    def judge(verified: SnpVerified, allowed: Any) -> Judgement:
        seen = is_set(verified.evidence)
        ok = not seen or allowed is True
        return Judgement(ok, {name: seen}, "" if ok else f"{name}: got on, want off")

    return judge


def _policy_is_odd(report: Report) -> bool:
    return not report.policy_bit(layout.POLICY_ONE) or report.policy > layout.POLICY_KNOWN


def _chip_is_masked(report: Report) -> bool:
    return report.signing_key == layout.SIGNING_VCEK and not any(report.chip_id)


def _equals(name: str) -> Judge:
    """Judge a field of bytes against exact hex."""

    def judge(verified: SnpVerified, expected: Any) -> Judgement:
        seen = getattr(verified.evidence, name).hex()
        return Judgement(hmac.compare_digest(seen, str(expected)), seen)

    return judge


def _at_least(ok: bool, field: str, seen: Any, expected: Any) -> Judgement:  # noqa: FBT001 - a judgement's first word
    return Judgement(ok, seen, "" if ok else f"{field}: got {seen}, want at least {expected}")


def _minimum_tcb(name: str) -> Judge:
    """Judge one of the four TCBs against the product's floor, component by component; an unlisted product is refused."""

    def judge(verified: SnpVerified, expected: Any) -> Judgement:
        product = product_of(verified.evidence, verified.collateral)
        seen = tcb_parts(getattr(verified.evidence, name), product)
        floor = expected.get(product) if isinstance(expected, Mapping) else None
        if not floor:
            listed = ", ".join(sorted(expected)) if isinstance(expected, Mapping) else "none"
            detail = f"{name}: got a {product}, want one of the products with a minimum ({listed})"
            return Judgement(ok=False, seen={"product": product, **seen}, detail=detail)
        low = [part for part, least in floor.items() if seen.get(part, -1) < least]
        said = [f"{TCB_WORDS[part]}: got {seen.get(part)}, want at least {floor[part]}" for part in low]
        return Judgement(not low, seen, f"{name}: {'; '.join(said)}" if low else "")

    return judge


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _committed_version(verified: SnpVerified, expected: Any) -> Judgement:
    report = verified.evidence
    seen = (report.committed_major, report.committed_minor, report.committed_build)
    return _at_least(seen >= _numbers(expected), "committed SEV firmware", ".".join(map(str, seen)), expected)


def _abi(verified: SnpVerified, expected: Any) -> Judgement:
    """The guest policy's own minimum: firmware older than it cannot launch or import the guest."""
    policy = verified.evidence.policy
    seen = (policy >> 8 & 0xFF, policy & 0xFF)
    return _at_least(seen >= _numbers(expected), "guest policy's minimum ABI", ".".join(map(str, seen)), expected)


def _signing_key(verified: SnpVerified, expected: Any) -> Judgement:
    vek = verified.collateral.vek
    if vek is None or not isinstance(expected, Mapping):
        return Judgement(ok=False, seen=None)
    seen = {"kind": "VCEK"} if vek.csp_id is None else {"kind": "VLEK", "csp_id": vek.csp_id}
    return Judgement(dict(expected) == seen, seen)


def _bits(seen: Mapping[str, bool], expected: Any) -> Judgement:
    """Compare every bit that is named; none named is a failure."""
    if not isinstance(expected, Mapping) or not expected:
        return Judgement(ok=False, seen=dict(seen), detail="nothing to compare")
    off = sorted(name for name, value in expected.items() if seen.get(name) is not value)
    said = [f"{name}: got {_on(seen.get(name))}, want {_on(expected[name])}" for name in off]
    return Judgement(not off, dict(seen), "; ".join(said))


def _on(value: Any) -> str:
    return "on" if value is True else "off" if value is False else "nothing"


def _platform_info(verified: SnpVerified, expected: Any) -> Judgement:
    word = verified.evidence.platform_info
    return _bits({name: bool(word >> bit & 1) for name, bit in layout.PLATFORM_INFO_BITS.items()}, expected)


GUEST_POLICY_BITS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "smt_allowed": layout.POLICY_SMT,
        "single_socket": layout.POLICY_SINGLE_SOCKET,
        "cxl_allowed": layout.POLICY_CXL_ALLOW,
        "mem_aes_256_xts": layout.POLICY_MEM_AES_256_XTS,
        "rapl_disabled": layout.POLICY_RAPL_DIS,
        "ciphertext_hiding": layout.POLICY_CIPHERTEXT_HIDING,
        "page_swap_disabled": layout.POLICY_PAGE_SWAP_DISABLE,
    }
)


def _guest_policy(verified: SnpVerified, expected: Any) -> Judgement:
    return _bits({name: verified.evidence.policy_bit(bit) for name, bit in GUEST_POLICY_BITS.items()}, expected)


def _mitigations(name: str) -> Judge:
    """Judge a mitigation vector: every bit asked for is set. Reports before version 5 have none."""

    def judge(verified: SnpVerified, expected: Any) -> Judgement:
        report = verified.evidence
        if not report.has_mitigations():
            detail = f"{name}: got a report of version {report.version}, which has none, want version 5"
            return Judgement(ok=False, seen=None, detail=detail)
        seen = getattr(report, name)
        lacking = int(expected, 16) & ~seen
        said = f"{name}: got {hex(seen)}, want {expected}: {hex(lacking)} is not set" if lacking else ""
        return Judgement(not lacking, hex(seen), said)

    return judge


def _chip(verified: SnpVerified) -> str | None:
    """Name the chip by its certificate (also where CHIP_ID is masked), in the 64 bytes that CHIP_ID has; a VLEK names none."""
    vek = verified.collateral.vek
    if vek is None or vek.hwid is None:
        return None
    return (vek.hwid + bytes(64 - len(vek.hwid))).hex()


def _chip_allow(verified: SnpVerified, expected: Any) -> Judgement:
    chip = _chip(verified)
    ok = chip is not None and chip in expected
    return Judgement(ok, chip, "" if ok else f"chip: got {chip or 'none (a VLEK)'}, want one of {len(expected)} listed")


def _chip_deny(verified: SnpVerified, expected: Any) -> Judgement:
    chip = _chip(verified)
    ok = chip is not None and chip not in expected
    return Judgement(ok, chip, "" if ok else f"chip: got {chip or 'none (a VLEK)'}, want one that is not denied")


def _minimum_svn(verified: SnpVerified, expected: Any) -> Judgement:
    seen = verified.evidence.guest_svn
    return _at_least(seen >= expected, "guest SVN", seen, expected)


def _vmpl(verified: SnpVerified, expected: Any) -> Judgement:
    return Judgement(verified.evidence.vmpl == expected, verified.evidence.vmpl)


def _tcb_rule(which: str) -> SnpRule:
    return Rule(
        id=f"sev-snp.tcb.minimum.{which}",
        scope="platform",
        field="minimum_tcb",
        judge=_minimum_tcb(f"{which}_tcb"),
        layout_fields=(f"{which}_tcb", "cpuid_family", "cpuid_model"),
        trust_claim="hardware",
        remedy=REMEDIES[f"sev-snp.tcb.minimum.{which}"],
    )


def _service(
    rule_id: str, field: str, is_set: Callable[[Report], bool], fields: tuple[str, ...], claim: TrustClaim
) -> SnpRule:
    """Refuse a state unless the policy's exception ``allow_<name>`` lets it pass."""
    return Rule(
        id=rule_id,
        scope="service",
        field=field,
        judge=_unless_allowed(field.removeprefix("allow_"), is_set),
        layout_fields=fields,
        default=False,
        trust_claim=claim,
        remedy=REMEDIES[rule_id],
    )


_SERVICE: Final[tuple[SnpRule, ...]] = (
    _service("sev-snp.policy.debug", "allow_debug", lambda report: report.is_debug, ("policy",), "runtime-opaque"),
    _service(
        "sev-snp.policy.migrate-ma",
        "allow_migrate_ma",
        lambda report: report.policy_bit(layout.POLICY_MIGRATE_MA),
        ("policy",),
        "runtime-opaque",
    ),
    _service("sev-snp.policy.unknown-bits", "allow_unknown_policy_bits", _policy_is_odd, ("policy",), "configuration"),
    _service(
        "sev-snp.migration-agent",
        "allow_migration_agent",
        lambda report: report.report_id_ma != layout.NO_MIGRATION_AGENT,
        ("report_id_ma",),
        "runtime-opaque",
    ),
    _service(
        "sev-snp.chip-id.masked",
        "allow_masked_chip_id",
        _chip_is_masked,
        ("chip_id", "key_info"),
        "instance-identity",
    ),
)

_PLATFORM: Final[tuple[SnpRule, ...]] = (
    Rule(
        id="sev-snp.signing-key.kind",
        scope="platform",
        field="signing_key",
        judge=_signing_key,
        layout_fields=("key_info",),
        trust_claim="instance-identity",
        remedy=REMEDIES["sev-snp.signing-key.kind"],
        mandatory=True,
    ),
    _tcb_rule("reported"),
    _tcb_rule("launch"),
    _tcb_rule("committed"),
    Rule(
        id="sev-snp.firmware-version",
        scope="platform",
        field="minimum_committed_version",
        judge=_committed_version,
        layout_fields=("committed_major", "committed_minor", "committed_build"),
        trust_claim="hardware",
        remedy=REMEDIES["sev-snp.firmware-version"],
    ),
    Rule(
        id="sev-snp.platform-info",
        scope="platform",
        field="platform_info",
        judge=_platform_info,
        layout_fields=("platform_info",),
        trust_claim="hardware",
        remedy=REMEDIES["sev-snp.platform-info"],
    ),
    Rule(
        id="sev-snp.mitigations.launch",
        scope="platform",
        field="launch_mitigations",
        judge=_mitigations("launch_mit_vector"),
        layout_fields=("launch_mit_vector",),
        trust_claim="hardware",
        remedy=REMEDIES["sev-snp.mitigations.launch"],
    ),
    Rule(
        id="sev-snp.mitigations.current",
        scope="platform",
        field="current_mitigations",
        judge=_mitigations("current_mit_vector"),
        layout_fields=("current_mit_vector",),
        trust_claim="hardware",
        remedy=REMEDIES["sev-snp.mitigations.current"],
    ),
    Rule(
        id="sev-snp.chip.allow",
        scope="platform",
        field="chip_allow",
        judge=_chip_allow,
        layout_fields=("chip_id",),
        trust_claim="instance-identity",
        remedy=REMEDIES["sev-snp.chip.allow"],
    ),
    Rule(
        id="sev-snp.chip.deny",
        scope="platform",
        field="chip_deny",
        judge=_chip_deny,
        layout_fields=("chip_id",),
        trust_claim="instance-identity",
        remedy=REMEDIES["sev-snp.chip.deny"],
    ),
)


def _exact(rule_id: str, name: str, claim: TrustClaim = "executables") -> SnpRule:
    return Rule(
        id=rule_id,
        scope="firmware",
        field=name,
        judge=_equals(name),
        layout_fields=(name,),
        trust_claim=claim,
        remedy=REMEDIES[rule_id],
    )


_FIRMWARE: Final[tuple[SnpRule, ...]] = (
    _exact("sev-snp.measurement", "measurement"),
    # Level, number and names say nothing of the software itself: a policy that compares them alone leaves it unmeasured.
    Rule(
        id="sev-snp.vmpl",
        scope="firmware",
        field="vmpl",
        judge=_vmpl,
        layout_fields=("vmpl",),
        trust_claim="configuration",
        remedy=REMEDIES["sev-snp.vmpl"],
    ),
    Rule(
        id="sev-snp.guest-policy",
        scope="firmware",
        field="guest_policy",
        judge=_guest_policy,
        layout_fields=("policy",),
        trust_claim="configuration",
        remedy=REMEDIES["sev-snp.guest-policy"],
    ),
    Rule(
        id="sev-snp.guest-policy.abi",
        scope="firmware",
        field="minimum_abi",
        judge=_abi,
        layout_fields=("policy",),
        trust_claim="configuration",
        remedy=REMEDIES["sev-snp.guest-policy.abi"],
    ),
    Rule(
        id="sev-snp.guest-svn",
        scope="firmware",
        field="minimum_guest_svn",
        judge=_minimum_svn,
        layout_fields=("guest_svn",),
        trust_claim="configuration",
        remedy=REMEDIES["sev-snp.guest-svn"],
    ),
    _exact("sev-snp.family-id", "family_id", "configuration"),
    _exact("sev-snp.image-id", "image_id", "configuration"),
    _exact("sev-snp.id-key-digest", "id_key_digest"),
    _exact("sev-snp.author-key-digest", "author_key_digest"),
)

_CONFIG: Final[tuple[SnpRule, ...]] = (
    Rule(
        id="sev-snp.host-data",
        scope="config",
        field="host_data",
        judge=_equals("host_data"),
        layout_fields=("host_data",),
        trust_claim="configuration",
        remedy=REMEDIES["sev-snp.host-data"],
    ),
)

RULES: Final[tuple[SnpRule, ...]] = (*_SERVICE, *_PLATFORM, *_FIRMWARE, *_CONFIG)

# What checks tie to the certificate or the challenge, and what is told and judged by nobody; all else is the rules'.
_BOUND: Final = frozenset({"version", "signature_algo", "signature_r", "signature_s", "report_data"})
_REPORTED: Final = frozenset(
    {"current_tcb", "current_build", "current_minor", "current_major", "cpuid_stepping", "report_id"}
)


def _bin(name: str) -> Bin:
    if name in _BOUND:
        return "bound"
    return "reported" if name in _REPORTED else "rules"


BINS: Final[Mapping[str, Bin]] = MappingProxyType({name: _bin(name) for name in layout.FIELDS})


def instance(verified: SnpVerified) -> tuple[str, str]:
    """Name the machine by its chip. Under a VLEK nothing names the chip: the guest's own REPORT_ID stands in, new at each launch."""
    chip = _chip(verified)
    return ("sev-snp.chip", chip) if chip is not None else ("sev-snp.report-id", verified.evidence.report_id.hex())
