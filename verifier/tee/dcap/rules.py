"""Is the platform wanted? Rules that ``sgx`` and ``tdx`` share, one id each with the scheme's name before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from verifier.core.rules import Judgement, Rule, TrustClaim
from verifier.tee.dcap.decode import Quote
from verifier.tee.dcap.endorse import DcapCollateral
from verifier.tee.dcap.evaluate import NEVER, Evaluation
from verifier.tee.dcap.verify import evaluation_of
from verifier.tee.judges import Rows, bins_of, judged_by, none_of, one_of, same, say
from verifier.tee.scheme import Bin, Verified

DcapVerified: TypeAlias = Verified[Any, DcapCollateral]  # ``evidence.quote`` is the quote
DcapRule: TypeAlias = Rule[Any]

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
    return say(not beyond, list(seen), f"advisories: got {', '.join(beyond)}, want none unlisted")


def _refused(verified: DcapVerified, expected: Any) -> Judgement:
    seen = evaluation(verified).advisories
    hit = sorted(set(seen) & set(expected))
    return say(not hit, list(seen), f"advisories: got {', '.join(hit)}, want them closed")


def _date(verified: DcapVerified, expected: Any) -> Judgement:
    date = evaluation(verified).date
    seen = None if date is None else date.text
    # RFC 3339 times in UTC compare as text.
    ok = seen is not None and seen[:10] >= str(expected)
    return say(ok, seen, f"TCB date: got {seen}, want {expected} or later")


def _number(verified: DcapVerified, expected: Any) -> Judgement:
    got = evaluation(verified)
    seen = {"tcb_info": got.evaluation_number, "qe_identity": got.qe_evaluation_number}
    ok = got.evaluation_number >= expected
    return say(ok, seen, f"TCB evaluation data number: got {got.evaluation_number}, want at least {expected}")


# What checks tie to keys, to the challenge or to the QE identity; what no rule judges is reported.
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


def quote_bins(fields: Sequence[str], rules: Sequence[DcapRule]) -> Mapping[str, Bin]:
    """Return the bins of a quote's fields: a TCB is the PCK certificate's, so a report's own CPUSVN is told and no more."""
    return bins_of(fields, judged_by(rules), bound=_BOUND, ignored=frozenset({"padding"}))


def platform_rules(row: Rows, svn_fields: tuple[str, ...]) -> tuple[DcapRule, ...]:
    """Make the rules of a platform; ``svn_fields`` are the report's own fields that a TCB is evaluated by."""
    tcb = (*svn_fields, "qe_isvsvn", "certification_data")
    pck: tuple[TrustClaim, str] = ("instance-identity", "certification_data")
    names = one_of("chip", chips), none_of("chip", chips)
    return (
        row("tcb.supported", "service.tcb_supported", _supported, "hardware", *tcb, default=True, mandatory=True),
        row("root", "platform.root", same(lambda verified: verified.root), *pck),
        row("tcb.status", "platform.accepted_tcb_statuses", _status, "hardware", *tcb),
        row("tcb.advisories.allowed", "platform.allowed_advisories", _allowed, "hardware", *tcb),
        row("tcb.advisories.refused", "platform.refused_advisories", _refused, "hardware", *tcb),
        row("tcb.date", "platform.minimum_tcb_date", _date, "hardware", *tcb),
        row("tcb.evaluation-number", "platform.minimum_evaluation_number", _number, "hardware", "certification_data"),
        row("chip.allow", "platform.chip_allow", names[0], *pck),
        row("chip.deny", "platform.chip_deny", names[1], *pck),
    )
