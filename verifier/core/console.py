"""How commands answer: text for people, one JSON object with ``--format json``; used by both programs' CLIs.

A command returns ``Answer``; ``run`` prints it and turns every known error into its exit code and a message that names
the check. Nothing here opens a file or reads the environment; streams are click's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from verifier.core.exits import Exit, exit_for
from verifier.formats.errors import BridgeError, ConfigError

FORMAT_OPTION = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output format.",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command has to say: JSON for programs, text for people, and the exit code."""

    data: Mapping[str, Any]
    text: str
    exit: Exit = Exit.DONE
    hints: tuple[str, ...] = field(default=())


def run(output_format: str, command: Callable[[], Answer]) -> None:
    """Run a command body and leave with its exit code; unforeseen exceptions travel on to the program's ``main``."""
    try:
        answer = command()
    except (BridgeError, ConfigError) as error:
        answer = failure(error)
    if output_format == "json":
        click.echo(json.dumps(dict(answer.data), sort_keys=True))
    else:
        click.echo(answer.text, err=answer.exit not in (Exit.DONE, Exit.NO))
        for hint in answer.hints:
            click.echo(f"hint: {hint}", err=True)
    raise SystemExit(int(answer.exit))


def failure(error: BridgeError | ConfigError) -> Answer:
    """Word a known error for both formats."""
    if isinstance(error, ConfigError):
        data: dict[str, Any] = {"outcome": "config-error", "where": error.where, "key": error.key, "want": error.want}
        return Answer({**data, "got": repr(error.got)}, f"error: {error}", exit_for(error))
    data = {"outcome": error.outcome, "check_id": error.check_id, "detail": error.detail}
    return Answer(data, f"{error.outcome}: {error.check_id}: {error.detail}", exit_for(error))
