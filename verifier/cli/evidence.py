"""What commands that judge evidence offline share: where it comes from, at which time, by which policy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from verifier.cases.folder import read_case
from verifier.cases.form import CaseError, CaseFiles
from verifier.cases.registry import CASES
from verifier.formats.errors import ConfigError
from verifier.tee.registry import SCHEMES

F = TypeVar("F", bound=Callable[..., Any])

CASE_OPTION = click.option(
    "--case",
    "case",
    type=click.Path(file_okay=False),
    help="Folder with case.json, evidence and collateral (docs/cases.md).",
)
SCHEME_OPTION = click.option(
    "--scheme",
    type=click.Choice(sorted(SCHEMES)),
    metavar="SCHEME",
    help="Judge parts of this scheme, such as tdx, instead of a case. docs/tee has a page for each scheme.",
)
EVIDENCE_OPTION = click.option(
    "--evidence",
    "evidence",
    multiple=True,
    metavar="FILE|part=FILE",
    help="File with evidence. Repeat the option for each part.",
)
ENDORSEMENTS_OPTION = click.option(
    "--endorsements",
    type=click.Path(exists=True, file_okay=False),
    help="Folder with NAME.der or NAME.pem, such as vcek.der, ask.pem, crl.pem.",
)
AT_OPTION = click.option("--at", "at", metavar="TIME", help="Judge at this time (RFC 3339). Without it: now.")
REPORT_DATA_OPTION = click.option("--report-data", metavar="HEX", help="User data that the evidence must carry.")
POLICY_OPTION = click.option(
    "--policy",
    "policy",
    type=click.Path(exists=True, dir_okay=False),
    help="File of trust documents with one appraisal policy.",
)
_JUDGED = (
    CASE_OPTION,
    SCHEME_OPTION,
    EVIDENCE_OPTION,
    ENDORSEMENTS_OPTION,
    AT_OPTION,
    REPORT_DATA_OPTION,
    POLICY_OPTION,
)


def judged_options(function: F) -> F:
    """Give a command every option of offline judgement."""
    for option in reversed(_JUDGED):
        function = option(function)
    return function


def require_one_source(command: str, case: str | None, scheme: str | None) -> None:
    """Refuse neither source and both."""
    if (case is None) == (scheme is None):
        raise ConfigError(command, "--case", case, "either --case DIR, or --scheme with --evidence")


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


def read_parts(scheme: str, given: tuple[str, ...]) -> dict[str, bytes]:
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


def read_endorsements(folder: str | None) -> dict[str, bytes]:
    """Read every file of a folder under its name without extension."""
    if folder is None:
        return {}
    return {path.stem: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}


def read_hex(text: str | None) -> bytes | None:
    """Read ``--report-data``."""
    if text is None:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ConfigError("--report-data", "hex", text, "hex digits") from None


def read_folder_case(folder: str) -> CaseFiles:
    """Read a case's files; a wrong case is a usage error."""
    try:
        return read_case(Path(folder), CASES)
    except CaseError as error:
        raise wrong_case(folder, error) from None


def wrong_case(folder: str, error: CaseError) -> ConfigError:
    """Word a case that is wrong in itself (an unknown policy key, a wrong ``sha256``)."""
    return ConfigError(folder, "case", str(error), "a case as docs/cases.md lays it out")


def read_policy(path: str | None, scheme: str) -> Any:
    """Compile the one policy for a scheme in a file of trust documents."""
    if path is None:
        return None
    from verifier.adapters.trust.documents import load_single_policy

    return load_single_policy(Path(path), scheme)
