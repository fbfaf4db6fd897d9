"""What commands that judge evidence offline share: where it comes from, at which time, by which policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles, CaseForm
from verifier.cases.judge import Given
from verifier.cases.registry import CASES
from verifier.core.console import options
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES

T = TypeVar("T")

_CASE = click.option(
    "--case",
    "case",
    type=click.Path(file_okay=False),
    help="Folder with case.json, evidence and collateral (docs/cases.md).",
)
_SCHEME = click.option(
    "--scheme",
    type=click.Choice(sorted(SCHEMES)),
    metavar="SCHEME",
    help="Judge parts of this scheme, such as tdx, instead of a case. docs/tee has a page for each scheme.",
)
_EVIDENCE = click.option(
    "--evidence",
    "evidence",
    multiple=True,
    metavar="FILE|part=FILE",
    help="File with evidence. Repeat the option for each part.",
)
_ENDORSEMENTS = click.option(
    "--endorsements",
    type=click.Path(exists=True, file_okay=False),
    help="Folder with NAME.der or NAME.pem, such as vcek.der, ask.pem, crl.pem.",
)
_AT = click.option("--at", "at", metavar="TIME", help="Judge at this time (RFC 3339). Without it: now.")
_REPORT_DATA = click.option("--report-data", metavar="HEX", help="User data that the evidence must carry.")
_POLICY = click.option(
    "--policy",
    "policy",
    type=click.Path(exists=True, dir_okay=False),
    help="File of trust documents with one appraisal policy.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """What a command judges: a case in a folder, or parts of a scheme's evidence in files."""

    case: str | None
    scheme: str | None
    evidence: tuple[str, ...]
    endorsements: str | None
    at: str | None
    report_data: str | None
    policy: str | None = None

    def judged(self, command: str, of_case: Callable[[CaseForm, CaseFiles], T], of_parts: Callable[[Given], T]) -> T:
        """Read the files and judge them; neither source and both are refused, and a case that is wrong in itself."""
        if self.case is not None and self.scheme is None:
            try:
                files = read_case(Path(self.case), CASES)
                return of_case(CASES[files.platform], files)
            except CaseError as error:
                raise ConfigError(self.case, "case", str(error), "a case as docs/cases.md lays it out") from None
        if self.case is not None or self.scheme is None:
            raise ConfigError(command, "--case", self.case, "either --case DIR, or --scheme with --evidence")
        return of_parts(
            Given(
                scheme=SCHEMES[self.scheme],
                parts=_parts(self.scheme, self.evidence),
                endorsements=_endorsements(self.endorsements),
                now=moment(self.at),
                user_data=_hex(self.report_data),
                policy=_policy(self.policy, self.scheme),
            )
        )


source_options = options("source", Source, _CASE, _SCHEME, _EVIDENCE, _ENDORSEMENTS, _AT, _REPORT_DATA)
judged_options = options("source", Source, _CASE, _SCHEME, _EVIDENCE, _ENDORSEMENTS, _AT, _REPORT_DATA, _POLICY)


def moment(text: str | None) -> int:
    """Read ``--at``: Unix seconds; now if it is not given."""
    if text is None:
        return int(dt.datetime.now(tz=dt.UTC).timestamp())
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--at", "time", text, "RFC 3339, such as 2026-01-01T00:00:00Z") from None
    if when.tzinfo is None:
        raise ConfigError("--at", "time", text, "a time with its zone, such as 2026-01-01T00:00:00Z")
    return int(when.timestamp())


def _parts(scheme: str, given: tuple[str, ...]) -> dict[str, bytes]:
    """Read ``--evidence``; a bare file is the one part of a scheme that requires one."""
    wanted = SCHEMES[scheme].form.required
    parts: dict[str, bytes] = {}
    for text in given:
        name, separator, path = text.partition("=")
        if not separator:
            if len(wanted) != 1:
                raise ConfigError("--evidence", "part", text, f"part=FILE, parts are {', '.join(sorted(wanted))}")
            name, path = next(iter(wanted)), text
        if name in parts:
            raise ConfigError("--evidence", "part", text, f"{name} once")
        parts[name] = read_bytes(path)
    return parts


def read_bytes(path: str | Path) -> bytes:
    """Read a file; ``ConfigError`` names it."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(str(path), "file", error.strerror, "a readable file") from None


def _endorsements(folder: str | None) -> dict[str, bytes]:
    """Read every file of a folder under its name without extension."""
    if folder is None:
        return {}
    return {path.stem: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def _hex(text: str | None) -> bytes | None:
    """Read ``--report-data``."""
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError("--report-data", "hex", text, "hex digits") from None


def _policy(path: str | None, scheme: str) -> Any:
    """Compile the one policy for a scheme in a file of trust documents."""
    if path is None:
        return None
    from verifier.adapters.trust.documents import load_single_policy

    return load_single_policy(Path(path), scheme)
