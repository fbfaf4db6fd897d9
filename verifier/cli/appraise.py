"""``verifier appraise``: judge evidence offline, from a case folder or from its parts. Nothing judged here can mint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import click

from verifier.cases.judge import OfflineVerdict, judge_case, judge_parts
from verifier.cli.evidence import Source, judged_options
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit

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


@click.command("appraise")
@judged_options
@answers
def command(source: Source) -> Answer:
    """Judge evidence offline.

    Print whether the evidence is genuine, and whether the policy accepts it. Nothing judged here leads to a token.

    Exit codes: 0 valid, 1 rejected, 2 malformed, 3 cannot decide, 64 usage (an unknown policy key, a wrong sha256).
    """
    verdict = source.judged("appraise", judge_case, judge_parts)
    return Answer(verdict_json(verdict), "\n".join(verdict_lines(verdict)), EXITS[verdict.outcome])
