"""``verifier explain``: evidence field by field in words, every check in order, every finding, and what to change."""

from __future__ import annotations

from typing import Any

import click

from verifier.cases.explain import Explanation, explain_case, explain_parts
from verifier.cases.registry import CASES
from verifier.cli.appraise import EXITS, verdict_json, verdict_lines
from verifier.cli.evidence import Source, judged_options
from verifier.core.console import Answer, answers
from verifier.tee.registry import SCHEMES

_MARKS = {"held": "ok  ", "failed": "FAIL", "not reached": "-   "}


def _json(explanation: Explanation) -> dict[str, Any]:
    return {
        **verdict_json(explanation.verdict),
        "evidence": [
            {"name": one.name, "value": one.value, "shown": one.shown, "meaning": one.meaning}
            for one in explanation.told
        ],
        "checks": [{"id": check_id, "state": state} for check_id, state in explanation.checks],
    }


def _text(explanation: Explanation) -> str:
    lines = ["evidence (what the bytes say, not what may be trusted)"]
    said = ""
    for one in explanation.told:
        if one.meaning and one.meaning != said:
            lines.append(f"  # {one.meaning}")
        said = one.meaning
        lines.append(f"  {one.name}: {one.shown}")
    if not explanation.told:
        lines.append("  no field of it can be read")
    lines.append("checks (is it genuine?)")
    lines += [f"  {_MARKS[state]}  {check_id}" for check_id, state in explanation.checks]
    if explanation.own_steps:
        lines.append("  cases of this platform have further checks of their own; the verdict names the first no")
    lines.append("verdict")
    lines += [f"  {line}" for line in verdict_lines(explanation.verdict)]
    return "\n".join(lines)


@click.command("explain")
@judged_options
@answers
def command(source: Source) -> Answer:
    """Explain evidence in words.

    Print every field of the evidence with its meaning, every check in order, every finding, and what to change where
    the answer is no.

    Exit codes are those of appraise: 0 valid, 1 rejected, 2 malformed, 3 cannot decide, 64 usage.
    """
    explanation = source.judged(
        "explain",
        lambda form, files: explain_case(form, files, SCHEMES.get(files.platform)),
        lambda given: explain_parts(given, CASES.get(given.scheme.name)),
    )
    return Answer(_json(explanation), _text(explanation), EXITS[explanation.verdict.outcome])
