"""``verifier appraise``: judge evidence offline, from a case folder or from its parts. Nothing judged here can mint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import click

from verifier.cases.form import CaseError
from verifier.cases.judge import OfflineVerdict, judge_case, judge_parts
from verifier.cases.registry import CASES
from verifier.cli.evidence import (
    judged_options,
    moment,
    read_endorsements,
    read_folder_case,
    read_hex,
    read_parts,
    read_policy,
    require_one_source,
    wrong_case,
)
from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.core.exits import Exit
from verifier.tee.registry import SCHEMES

EXITS: Final[Mapping[str, Exit]] = MappingProxyType(
    {
        "genuine": Exit.DONE,
        "accepted": Exit.DONE,
        "rejected": Exit.NO,
        "malformed": Exit.MALFORMED,
        "cannot-decide": Exit.UNDECIDED,
    }
)


def verdict_json(verdict: OfflineVerdict) -> dict[str, Any]:
    """Return a verdict as programs read it."""
    return {
        "verdict": verdict.verdict,
        "outcome": verdict.outcome,
        "check_id": verdict.check_id,
        "detail": verdict.detail,
        "remedy": verdict.remedy,
        "anchor": verdict.anchor,
        "root": verdict.root,
        "findings": [finding.as_json() for finding in verdict.findings],
        "claims": verdict.claims,
    }


def verdict_lines(verdict: OfflineVerdict) -> list[str]:
    """Return a verdict as people read it: the first no, what to change, and every finding."""
    lines = [f"{verdict.verdict} ({verdict.outcome})"]
    if verdict.check_id:
        lines.append(f"  check   {verdict.check_id}")
        lines.append(f"  reason  {verdict.detail}")
        if verdict.remedy:
            lines.append(f"  change  {verdict.remedy}")
    if verdict.root:
        lines.append(f"  root    {verdict.root} (anchor: {verdict.anchor})")
    for finding in verdict.findings:
        mark = "ok  " if finding.ok else "FAIL"
        lines.append(
            f"  {mark}  {finding.rule}: expected {json.dumps(finding.expected)}, seen {json.dumps(finding.seen)}"
        )
        if not finding.ok and finding.detail:
            lines.append(f"        {finding.detail}")
        if not finding.ok and finding.remedy:
            lines.append(f"        {finding.remedy}")
    return lines


def _answer(verdict: OfflineVerdict) -> Answer:
    return Answer(verdict_json(verdict), "\n".join(verdict_lines(verdict)), EXITS[verdict.outcome])


@click.command("appraise")
@judged_options
@FORMAT_OPTION
def command(
    case: str | None,
    scheme: str | None,
    evidence: tuple[str, ...],
    endorsements: str | None,
    at: str | None,
    report_data: str | None,
    policy: str | None,
    output_format: str,
) -> None:
    """Judge evidence offline.

    Print whether the evidence is genuine, and whether the policy accepts it. Nothing judged here leads to a token.

    Exit codes: 0 valid, 1 rejected, 2 malformed, 3 cannot decide, 64 usage (an unknown policy key, a wrong sha256).
    """

    def body() -> Answer:
        require_one_source("appraise", case, scheme)
        if case is not None:
            return _judge_folder(case)
        assert scheme is not None  # noqa: S101 - narrowed above
        return _answer(
            judge_parts(
                SCHEMES[scheme],
                read_parts(scheme, evidence),
                read_endorsements(endorsements),
                now=moment(at),
                user_data=read_hex(report_data),
                policy=read_policy(policy, scheme),
            )
        )

    run(output_format, body)


def _judge_folder(folder: str) -> Answer:
    files = read_folder_case(folder)
    try:
        return _answer(judge_case(CASES[files.platform], files))
    except CaseError as error:
        raise wrong_case(folder, error) from None
