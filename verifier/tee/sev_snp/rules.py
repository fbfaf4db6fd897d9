"""Is the report wanted? One id each; docs/tee/sev-snp.md says what each means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, Scope, TrustClaim
from verifier.tee.judges import (
    Judge,
    Read,
    Rows,
    at_least,
    bins_of,
    bits,
    equals,
    judged_by,
    none_of,
    one_of,
    same,
    version,
)
from verifier.tee.scheme import Bin, Verified
from verifier.tee.sev_snp import layout
from verifier.tee.sev_snp.decode import Report, tcb_parts
from verifier.tee.sev_snp.verify import SnpCollateral, product_of

# The components of a TCB as firmware vendors call them.
TCB_WORDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fmc": "FMC SVN",
        "bl": "boot loader SVN",
        "tee": "TEE SVN",
        "snp": "SNP firmware SVN",
        "ucode": "microcode SVN",
    }
)
SnpVerified: TypeAlias = Verified[Report, SnpCollateral]
SnpRule: TypeAlias = Rule[SnpVerified]


def _policy_is_odd(verified: SnpVerified) -> bool:
    report = verified.evidence
    return not report.policy_bit(layout.POLICY_ONE) or report.policy > layout.POLICY_KNOWN


def _has_migration_agent(verified: SnpVerified) -> bool:
    return verified.evidence.report_id_ma != layout.NO_MIGRATION_AGENT


def _chip_is_masked(verified: SnpVerified) -> bool:
    report = verified.evidence
    return report.signing_key == layout.SIGNING_VCEK and not any(report.chip_id)


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


def _signing_key(verified: SnpVerified, expected: Any) -> Judgement:
    vek = verified.collateral.vek
    if vek is None or not isinstance(expected, Mapping):
        return Judgement(ok=False, seen=None)
    seen = {"kind": "VCEK"} if vek.csp_id is None else {"kind": "VLEK", "csp_id": vek.csp_id}
    return Judgement(dict(expected) == seen, seen)


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


def _read(name: str) -> Read:
    """Read a field of the report."""
    return lambda verified: getattr(verified.evidence, name)


def _committed(verified: SnpVerified) -> str:
    report = verified.evidence
    return f"{report.committed_major}.{report.committed_minor}.{report.committed_build}"


def _abi(verified: SnpVerified) -> str:
    """The guest policy's own minimum: firmware older than it cannot launch or import the guest."""
    policy = verified.evidence.policy
    return f"{policy >> 8 & 0xFF}.{policy & 0xFF}"


def _platform_info(verified: SnpVerified) -> Mapping[str, bool]:
    word = verified.evidence.platform_info
    return {name: bool(word >> bit & 1) for name, bit in layout.PLATFORM_INFO_BITS.items()}


def _guest_policy(verified: SnpVerified) -> Mapping[str, bool]:
    return {name: verified.evidence.policy_bit(bit) for name, bit in GUEST_POLICY_BITS.items()}


_ROW: Final = Rows("sev-snp")


def _tcb(which: str) -> SnpRule:
    fields = (f"{which}_tcb", "cpuid_family", "cpuid_model")
    return _ROW(f"tcb.minimum.{which}", "platform.minimum_tcb", _minimum_tcb(f"{which}_tcb"), "hardware", *fields)


def _exact(noun: str, name: str, claim: TrustClaim = "executables", scope: str = "firmware") -> SnpRule:
    return _ROW(noun, f"{scope}.{name}", equals(_read(name)), claim, name)


def _policy_bit(bit: int) -> Read:
    return lambda verified: verified.evidence.policy_bit(bit)


_VERSION: Final = ("committed_major", "committed_minor", "committed_build")
_INSTANCE: Final[TrustClaim] = "instance-identity"
# fmt: off
RULES: Final[tuple[SnpRule, ...]] = (
    _ROW.service("policy.debug", "debug", _read("is_debug"), "runtime-opaque", "policy"),
    _ROW.service("policy.migrate-ma", "migrate_ma", _policy_bit(layout.POLICY_MIGRATE_MA), "runtime-opaque", "policy"),
    _ROW.service("policy.unknown-bits", "unknown_policy_bits", _policy_is_odd, "configuration", "policy"),
    _ROW.service("migration-agent", "migration_agent", _has_migration_agent, "runtime-opaque", "report_id_ma"),
    _ROW.service("chip-id.masked", "masked_chip_id", _chip_is_masked, _INSTANCE, "chip_id", "key_info"),
    _ROW("signing-key.kind", "platform.signing_key", _signing_key, _INSTANCE, "key_info", mandatory=True),
    _tcb("reported"),
    _tcb("launch"),
    _tcb("committed"),
    _ROW("firmware-version", "platform.minimum_committed_version",
         at_least("committed SEV firmware", _committed, version), "hardware", *_VERSION),
    _ROW("platform-info", "platform.platform_info", bits("platform_info", _platform_info), "hardware", "platform_info"),
    _ROW("mitigations.launch", "platform.launch_mitigations", _mitigations("launch_mit_vector"), "hardware",
         "launch_mit_vector"),
    _ROW("mitigations.current", "platform.current_mitigations", _mitigations("current_mit_vector"), "hardware",
         "current_mit_vector"),
    _ROW("chip.allow", "platform.chip_allow", one_of("chip", _chip), _INSTANCE, "chip_id"),
    _ROW("chip.deny", "platform.chip_deny", none_of("chip", _chip), _INSTANCE, "chip_id"),
    _exact("measurement", "measurement"),
    # Level, number and names say nothing of the software itself: a policy that compares them alone leaves it unmeasured.
    _ROW("vmpl", "firmware.vmpl", same(_read("vmpl")), "configuration", "vmpl"),
    _ROW("guest-policy", "firmware.guest_policy", bits("guest_policy", _guest_policy), "configuration", "policy"),
    _ROW("guest-policy.abi", "firmware.minimum_abi", at_least("guest policy's minimum ABI", _abi, version),
         "configuration", "policy"),
    _ROW("guest-svn", "firmware.minimum_guest_svn", at_least("guest SVN", _read("guest_svn")), "configuration",
         "guest_svn"),
    _exact("family-id", "family_id", "configuration"),
    _exact("image-id", "image_id", "configuration"),
    _exact("id-key-digest", "id_key_digest"),
    _exact("author-key-digest", "author_key_digest"),
    _exact("host-data", "host_data", "configuration", "config"),
)
# fmt: on

# What checks tie to the certificate or the challenge; what is told and judged by no rule is reported.
BINS: Final[Mapping[str, Bin]] = bins_of(
    layout.FIELDS,
    judged_by(RULES),
    bound=frozenset({"version", "signature_algo", "signature_r", "signature_s", "report_data"}),
)


def instance(verified: SnpVerified) -> tuple[str, str]:
    """Name the machine by its chip. Under a VLEK nothing names the chip: the guest's own REPORT_ID stands in, new at each launch."""
    chip = _chip(verified)
    return ("sev-snp.chip", chip) if chip is not None else ("sev-snp.report-id", verified.evidence.report_id.hex())


_JUDGED_TCBS: Final = ("reported_tcb", "launch_tcb", "committed_tcb")


def observe(verified: SnpVerified) -> Mapping[Scope, Mapping[str, Any]]:
    """Say what an identity of this machine says beyond what a rule saw: the lowest of the three TCBs."""
    report = verified.evidence
    product = product_of(report, verified.collateral)
    tcbs = [tcb_parts(getattr(report, name), product) for name in _JUDGED_TCBS]
    floor = {part: min(tcb[part] for tcb in tcbs) for part in tcbs[0]}
    return {"platform": {"minimum_tcb": None if product is None else {product: floor}}}
