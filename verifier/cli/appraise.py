"""``verifier appraise``: judge evidence offline, from a case folder or from its parts. Nothing judged here can mint."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import click

from verifier.adapters.case_folder import read_case
from verifier.appraise.offline import OfflineVerdict, judge_case, judge_parts
from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.core.errors import ConfigError
from verifier.core.exits import Exit
from verifier.tee.case import CaseError
from verifier.tee.registry import CASES, SCHEMES

_EXIT = {
    "genuine": Exit.DONE,
    "accepted": Exit.DONE,
    "rejected": Exit.NO,
    "malformed": Exit.MALFORMED,
    "cannot-decide": Exit.UNDECIDED,
}


def _answer(verdict: OfflineVerdict) -> Answer:
    data = {
        "verdict": verdict.verdict,
        "outcome": verdict.outcome,
        "check_id": verdict.check_id,
        "detail": verdict.detail,
        "anchor": verdict.anchor,
        "root": verdict.root,
        "findings": [finding.as_json() for finding in verdict.findings],
        "claims": verdict.claims,
    }
    lines = [f"{verdict.verdict} ({verdict.outcome})"]
    if verdict.check_id:
        lines.append(f"  check   {verdict.check_id}")
        lines.append(f"  reason  {verdict.detail}")
    if verdict.root:
        lines.append(f"  root    {verdict.root} (anchor: {verdict.anchor})")
    for finding in verdict.findings:
        mark = "ok  " if finding.ok else "FAIL"
        lines.append(
            f"  {mark}  {finding.rule}: expected {json.dumps(finding.expected)}, seen {json.dumps(finding.seen)}"
        )
        if not finding.ok and finding.remedy:
            lines.append(f"        {finding.remedy}")
    return Answer(data, "\n".join(lines), _EXIT[verdict.outcome])


def _time(text: str | None) -> int:
    if text is None:
        return int(dt.datetime.now(tz=dt.UTC).timestamp())
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--at", "time", text, "RFC 3339, such as 2026-01-01T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ConfigError("--at", "time", text, "a time with its zone, such as 2026-01-01T00:00:00Z")
    return int(moment.timestamp())


def _parts(scheme: str, given: tuple[str, ...]) -> dict[str, bytes]:
    wanted = SCHEMES[scheme].required_parts
    parts: dict[str, bytes] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator:
            if len(wanted) != 1:
                raise ConfigError("--evidence", "part", text, f"part=FILE, parts are {', '.join(sorted(wanted))}")
            name, path = next(iter(wanted)), text
        if name in parts:
            raise ConfigError("--evidence", "part", text, f"{name} once")
        parts[name] = _read(path)
    return parts


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(path, "file", error.strerror, "a readable file") from None


def _endorsements(folder: str | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    return {path.stem: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def _hex(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError("--report-data", "hex", text, "hex digits") from None


@click.command("appraise")
@click.option(
    "--case", "case", type=click.Path(file_okay=False), help="A folder with case.json, evidence and collateral."
)
@click.option("--scheme", type=click.Choice(sorted(SCHEMES)), help="Judge parts of this scheme instead of a case.")
@click.option(
    "--evidence", "evidence", multiple=True, metavar="FILE|part=FILE", help="Evidence; repeat for several parts."
)
@click.option(
    "--endorsements",
    type=click.Path(exists=True, file_okay=False),
    help="Folder: NAME.der or NAME.pem (vcek, ask, crl, ak …).",
)
@click.option("--at", "at", metavar="TIME", help="Judge at this time (RFC 3339); now if not given.")
@click.option("--report-data", metavar="HEX", help="User data that the evidence must carry.")
@click.option(
    "--policy",
    "policy",
    type=click.Path(exists=True, dir_okay=False),
    help="Trust documents with one appraisal policy.",
)
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
    """Judge evidence offline: genuine, and wanted.

    Exit codes: 0 valid, 1 rejected, 2 malformed, 3 cannot decide, 64 usage (an unknown policy key, a wrong sha256).
    """

    def body() -> Answer:
        if (case is None) == (scheme is None):
            raise ConfigError("appraise", "--case", case, "either --case DIR, or --scheme with --evidence")
        if case is not None:
            return _judge_folder(Path(case))
        assert scheme is not None  # noqa: S101 - narrowed above
        return _answer(
            judge_parts(
                SCHEMES[scheme],
                _parts(scheme, evidence),
                _endorsements(endorsements),
                now=_time(at),
                user_data=_hex(report_data),
                policy=None if policy is None else _policy(policy, scheme),
            )
        )

    run(output_format, body)


def _judge_folder(folder: Path) -> Answer:
    try:
        files = read_case(folder, CASES)
        return _answer(judge_case(CASES[files.platform], files))
    except CaseError as error:
        raise ConfigError(str(folder), "case", str(error), "a case as evidence/README.md lays it out") from None


def _policy(path: str, scheme: str) -> Any:
    from verifier.adapters.trust import load_single_policy

    return load_single_policy(Path(path), scheme)
