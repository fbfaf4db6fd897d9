"""Is the platform wanted? Rules that ``sgx`` and ``tdx`` share, one id each with the scheme's name before it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule
from verifier.tee.dcap.decode import Quote
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.evaluate import NEVER, Evaluation
from verifier.tee.dcap.verify import evaluation_of
from verifier.tee.scheme import Bin, Verified

DcapVerified: TypeAlias = Verified[Any, DcapCollateral]  # ``evidence.quote`` is the quote
DcapRule: TypeAlias = Rule[Any]
Judge: TypeAlias = Callable[[Any, Any], Judgement]

WARNING = 32  # AR4SI: what was accepted is no affirmation


def evaluation(verified: DcapVerified) -> Evaluation:
    """Return the evaluation of a verified quote's platform."""
    quote: Quote = verified.evidence.quote
    return evaluation_of(quote, verified.collateral)


def tcb_status(verified: DcapVerified) -> str:
    """Return Intel's word for the platform's TCB."""
    return evaluation(verified).status


def chips(verified: DcapVerified) -> tuple[str, ...]:
    """Return the names of the machine: its PPID, and under the Platform CA its platform instance id."""
    pck = verified.collateral.pck
    if pck is None:
        return ()
    names = [f"ppid:{pck.ppid.hex()}"]
    if pck.platform_instance_id is not None:
        names.append(f"piid:{pck.platform_instance_id.hex()}")
    return tuple(names)


def instance(verified: DcapVerified) -> tuple[str, str]:
    """Name the machine for the token's ``instance``: by its platform instance id, without one by its PPID."""
    kind, _, name = chips(verified)[-1].partition(":")
    return f"intel.{kind}", name


def equals(get: Callable[[DcapVerified], bytes]) -> Judge:
    """Judge a field of bytes against exact hex."""

    def judge(verified: DcapVerified, expected: Any) -> Judgement:
        seen = get(verified).hex()
        return Judgement(hmac.compare_digest(seen, str(expected)), seen)

    return judge


def unless_allowed(name: str, is_set: Callable[[DcapVerified], bool]) -> Judge:
    """Judge a state that is refused unless the policy's exception (a boolean) allows it."""

    def judge(verified: DcapVerified, allowed: Any) -> Judgement:
        seen = is_set(verified)
        ok = not seen or allowed is True
        return Judgement(ok, {name: seen}, "" if ok else f"{name}: got on, want off")

    return judge


def compare_bits(seen: Mapping[str, bool], expected: Any) -> Judgement:
    """Compare every bit that is named; none named is a failure."""
    if not isinstance(expected, Mapping) or not expected:
        return Judgement(ok=False, seen=dict(seen), detail="nothing to compare")
    off = sorted(name for name, value in expected.items() if seen.get(name) is not value)
    said = ", ".join(f"{name}: got {seen.get(name)}, want {expected[name]}" for name in off)
    return Judgement(not off, dict(seen), said)


def _root(verified: DcapVerified, expected: Any) -> Judgement:
    return Judgement(verified.root == expected, verified.root)


def _supported(verified: DcapVerified, _expected: Any) -> Judgement:
    got = evaluation(verified)
    if got.status in NEVER:
        return Judgement(ok=False, seen=got.status, detail=f"TCB status: got {got.status}; {_why(verified, got)}")
    return Judgement(ok=True, seen=got.status, value=_worth(got))


def _status(verified: DcapVerified, expected: Any) -> Judgement:
    got = evaluation(verified)
    if got.status not in expected:
        want = f"TCB status: got {got.status}, want one of {', '.join(expected)}"
        return Judgement(ok=False, seen=got.status, detail=f"{want}; {_why(verified, got)}")
    return Judgement(ok=True, seen=got.status, value=_worth(got))


def _worth(got: Evaluation) -> int | None:
    """The trust vector says what the platform is, whatever the owner puts up with."""
    return None if got.status == "UpToDate" else WARNING


def _why(verified: DcapVerified, got: Evaluation) -> str:
    """Say which of the parts is why, with numbers."""
    said = [f"platform {got.level_status} at level {got.level_index}"]
    if got.level_index is None:
        said = [_nearest(verified)]
    if got.module is not None and got.module.status not in (None, "UpToDate"):
        said.append(f"TDX module {got.module.id} SVN {got.module.isvsvn} is {got.module.status}")
    if got.qe_status not in (None, "UpToDate"):
        said.append(f"QE ISVSVN {verified.evidence.quote.qe_report.isvsvn} is {got.qe_status}")
    if got.current_status is not None:
        said.append(f"now {got.current_status}")
    if got.advisories:
        said.append(f"open: {', '.join(got.advisories)}")
    return "; ".join(said)


def _nearest(verified: DcapVerified) -> str:
    """Say what keeps the platform from the lowest level there is."""
    info, pck = verified.collateral.tcb_info, verified.collateral.pck
    if info is None or pck is None or not info.levels:
        return "no level to match"
    lowest = info.levels[-1]
    short = [
        f"SGX component {place}: got {have}, want at least {want}"
        for place, (have, want) in enumerate(zip(pck.components, lowest.components, strict=True), start=1)
        if have < want
    ]
    if pck.pcesvn < lowest.pcesvn:
        short.append(f"PCESVN: got {pck.pcesvn}, want at least {lowest.pcesvn}")
    return "matches no level, not even the lowest: " + ("; ".join(short) or "TDX components are below it")


def _allowed(verified: DcapVerified, expected: Any) -> Judgement:
    seen = evaluation(verified).advisories
    beyond = sorted(set(seen) - set(expected))
    return Judgement(
        not beyond, list(seen), f"advisories: got {', '.join(beyond)}, want none unlisted" if beyond else ""
    )


def _refused(verified: DcapVerified, expected: Any) -> Judgement:
    seen = evaluation(verified).advisories
    hit = sorted(set(seen) & set(expected))
    return Judgement(not hit, list(seen), f"advisories: got {', '.join(hit)}, want them closed" if hit else "")


def _date(verified: DcapVerified, expected: Any) -> Judgement:
    date = evaluation(verified).date
    seen = None if date is None else date.text
    # RFC 3339 times in UTC compare as text.
    ok = seen is not None and seen[:10] >= str(expected)
    return Judgement(ok, seen, "" if ok else f"TCB date: got {seen}, want {expected} or later")


def _number(verified: DcapVerified, expected: Any) -> Judgement:
    got = evaluation(verified)
    seen = {"tcb_info": got.evaluation_number, "qe_identity": got.qe_evaluation_number}
    ok = got.evaluation_number >= expected
    said = f"TCB evaluation data number: got {got.evaluation_number}, want at least {expected}"
    return Judgement(ok, seen, "" if ok else said)


def _chip_allow(verified: DcapVerified, expected: Any) -> Judgement:
    seen = chips(verified)
    return Judgement(any(name in expected for name in seen), list(seen))


def _chip_deny(verified: DcapVerified, expected: Any) -> Judgement:
    seen = chips(verified)
    return Judgement(bool(seen) and not any(name in expected for name in seen), list(seen))


# What checks tie to keys, to the challenge or to the QE identity; what is told and judged by nobody; all else is the rules'.
_BOUND: Final = frozenset(
    {
        "header_version",
        "header_att_key_type",
        "header_tee_type",
        "header_qe_vendor_id",
        "report_data",
        "quote_signature",
        "attestation_key",
        "qe_miscselect",
        "qe_attributes",
        "qe_mrsigner",
        "qe_isvprodid",
        "qe_report_data",
        "qe_report_signature",
        "qe_auth_data",
        "certification_type",
    }
)


def bin_of(name: str, judged: frozenset[str]) -> Bin:
    """Return the bin of a quote's field: a TCB is the PCK certificate's, so a report's own CPUSVN is told and no more."""
    if name in judged:
        return "rules"
    if name in _BOUND:
        return "bound"
    return "ignored" if name == "padding" else "reported"


def platform_rules(scheme: str, svn_fields: tuple[str, ...]) -> tuple[DcapRule, ...]:
    """Make the rules of a platform; ``svn_fields`` are the report's own fields that a TCB is evaluated by."""
    tcb = (*svn_fields, "qe_isvsvn", "certification_data")
    update = (
        "update the host's BIOS, microcode and TDX module, and register the platform anew for a new PCK certificate"
    )
    return (
        Rule(
            id=f"{scheme}.tcb.supported",
            scope="service",
            field="tcb_supported",
            judge=_supported,
            layout_fields=tcb,
            default=True,
            trust_claim="hardware",
            remedy="take the platform out of service: Intel revoked its TCB or knows none like it",
            mandatory=True,
        ),
        Rule(
            id=f"{scheme}.root",
            scope="platform",
            field="root",
            judge=_root,
            layout_fields=("certification_data",),
            trust_claim="instance-identity",
            remedy="name whose root the platform identity is of",
        ),
        Rule(
            id=f"{scheme}.tcb.status",
            scope="platform",
            field="accepted_tcb_statuses",
            judge=_status,
            layout_fields=tcb,
            trust_claim="hardware",
            remedy=f"{update}; or list the status in the platform identity's accepted_tcb_statuses",
        ),
        Rule(
            id=f"{scheme}.tcb.advisories.allowed",
            scope="platform",
            field="allowed_advisories",
            judge=_allowed,
            layout_fields=tcb,
            trust_claim="hardware",
            remedy=f"{update}; or list what is mitigated otherwise in allowed_advisories",
        ),
        Rule(
            id=f"{scheme}.tcb.advisories.refused",
            scope="platform",
            field="refused_advisories",
            judge=_refused,
            layout_fields=tcb,
            trust_claim="hardware",
            remedy=update,
        ),
        Rule(
            id=f"{scheme}.tcb.date",
            scope="platform",
            field="minimum_tcb_date",
            judge=_date,
            layout_fields=tcb,
            trust_claim="hardware",
            remedy=update,
        ),
        Rule(
            id=f"{scheme}.tcb.evaluation-number",
            scope="platform",
            field="minimum_evaluation_number",
            judge=_number,
            layout_fields=("certification_data",),
            trust_claim="hardware",
            remedy="have the source serve the early set (setting intel_tcb_update), or lower minimum_evaluation_number",
        ),
        Rule(
            id=f"{scheme}.chip.allow",
            scope="platform",
            field="chip_allow",
            judge=_chip_allow,
            layout_fields=("certification_data",),
            trust_claim="instance-identity",
            remedy="add the machine's ppid: or piid: to the platform identity's chip_allow, if it is known to be yours",
        ),
        Rule(
            id=f"{scheme}.chip.deny",
            scope="platform",
            field="chip_deny",
            judge=_chip_deny,
            layout_fields=("certification_data",),
            trust_claim="instance-identity",
            remedy="move the workload to another machine: this one is on chip_deny",
        ),
    )
