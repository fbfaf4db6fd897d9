"""Exit codes, the same for every command of both programs."""

from __future__ import annotations

from enum import IntEnum

import click

from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected, MalformedEvidence


class Exit(IntEnum):
    """0 done, 1 no, 2 malformed input, 3 cannot decide or not reachable, 64 usage, 70 bug."""

    DONE = 0
    NO = 1
    MALFORMED = 2
    UNDECIDED = 3
    USAGE = 64
    BUG = 70


# click's own usage errors exit with 2, which here means "malformed input". Said here, because every program imports this before
# it reads its command line.
click.UsageError.exit_code = Exit.USAGE


def exit_for(error: BaseException) -> Exit:
    """Map an error to its exit code; anything unforeseen is a bug. Operators' own documents (``ConfigError``) are usage."""
    if isinstance(error, EvidenceRejected):
        return Exit.NO
    if isinstance(error, MalformedEvidence):
        return Exit.MALFORMED
    if isinstance(error, CannotDecide):
        return Exit.UNDECIDED
    if isinstance(error, ConfigError):
        return Exit.USAGE
    return Exit.BUG
