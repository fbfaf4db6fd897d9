"""``verifier explain``: evidence field by field in words, every check in order, every finding, and what to change."""

from __future__ import annotations

from typing import Any

import click

from verifier.cases.explain import Explanation, explain_case, explain_parts
from verifier.cases.form import CaseError
from verifier.cases.registry import CASES
from verifier.cli.appraise import EXITS, verdict_json, verdict_lines
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


def _answer(explanation: Explanation) -> Answer:
    return Answer(_json(explanation), _text(explanation), EXITS[explanation.verdict.outcome])


@click.command("explain")
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
    """Explain evidence in words.

    Print every field of the evidence with its meaning, every check in order, every finding, and what to change where
    the answer is no.

    Exit codes are those of appraise: 0 valid, 1 rejected, 2 malformed, 3 cannot decide, 64 usage.
    """

    def body() -> Answer:
        require_one_source("explain", case, scheme)
        if case is not None:
            return _explain_folder(case)
        assert scheme is not None  # noqa: S101 - narrowed above
        return _answer(
            explain_parts(
                SCHEMES[scheme],
                CASES.get(scheme),
                read_parts(scheme, evidence),
                read_endorsements(endorsements),
                now=moment(at),
                user_data=read_hex(report_data),
                policy=read_policy(policy, scheme),
            )
        )

    run(output_format, body)


def _explain_folder(folder: str) -> Answer:
    files = read_folder_case(folder)
    try:
        return _answer(explain_case(CASES[files.platform], files, SCHEMES.get(files.platform)))
    except CaseError as error:
        raise wrong_case(folder, error) from None
