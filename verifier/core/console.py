"""How commands read their options and answer: text for people, one JSON object with ``--format json``; for both programs' CLIs.

A command returns ``Answer``; ``run`` prints it and turns every known error into its exit code and a message that names
the check. Nothing here opens a file or reads the environment; streams are click's.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import click

from verifier.core.exits import Exit, exit_for
from verifier.formats.errors import BridgeError, CannotDecide, ConfigError

Option = Callable[[Callable[..., Any]], Callable[..., Any]]
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
    except OSError as error:
        answer = failure(full_disk(error))
    try:
        _print(answer, output_format)
    except OSError as error:
        _leave_full_output(full_disk(error))
    raise SystemExit(int(answer.exit))


# What a disk or a limit says, and no fault of the program.
_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS))


def full_disk(error: OSError) -> CannotDecide:
    """Return the sentence for a write that the disk refuses; any other failure of the system is raised as the bug that it is."""
    if error.errno not in _FULL:
        raise error
    from verifier.core.ids import ServiceId  # a command that writes nothing need not know every id

    where = error.filename if isinstance(error.filename, str) else "the output"
    return CannotDecide(ServiceId.DISK, f"{where} cannot be written: {error.strerror}")


def _leave_full_output(no: CannotDecide) -> None:
    """Say on standard error that standard output is full, and let the interpreter's last flush find another place."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with contextlib.suppress(OSError):
        click.echo(failure(no).text, err=True)
    raise SystemExit(int(exit_for(no)))


def _print(answer: Answer, output_format: str) -> None:
    if output_format == "json":
        click.echo(json.dumps(dict(answer.data), sort_keys=True))
    else:
        click.echo(answer.text, err=answer.exit not in (Exit.DONE, Exit.NO))
        for hint in answer.hints:
            click.echo(f"hint: {hint}", err=True)


def prints(command: Callable[..., Answer]) -> Callable[..., None]:
    """Print a command's answer as text, and leave with its exit code."""

    @functools.wraps(command)
    def printed(output_format: str = "text", **given: Any) -> None:
        run(output_format, lambda: command(**given))

    return printed


def answers(command: Callable[..., Answer]) -> Callable[..., None]:
    """Give a command ``--format``, print its answer in that format, and leave with its exit code."""
    decorated: Callable[..., None] = FORMAT_OPTION(prints(command))
    return decorated


def options(name: str, record: Callable[..., Any], *given: Option) -> Option:
    """Give a command several options, which it gets as one argument: what ``record`` makes of their values."""

    def several(function: Callable[..., Any]) -> Callable[..., Any]:
        return functools.reduce(lambda decorated, option: option(decorated), reversed(given), function)

    taken = {parameter.name for parameter in click.command(several(lambda: None)).params}

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)  # click keeps the options that are declared below on the function itself
        def gather(**values: Any) -> Any:
            own = {option: values.pop(option) for option in list(values) if option in taken}
            return command(**{name: record(**own)}, **values)

        return several(gather)

    return add


class LazyGroup(click.Group):
    """Commands that are imported when one is asked for. ``modules``: the module of each, which defines ``command``.

    ``lines``: the commands' lines of help, where the help of the program is to import none of them.
    """

    def __init__(self, modules: Mapping[str, str], lines: Mapping[str, str] | None = None, **rest: Any) -> None:
        super().__init__(**rest)
        self._modules, self._lines = modules, lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, sorted."""
        del ctx
        return sorted(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in self._modules:
            return None
        command: click.Command = importlib.import_module(self._modules[cmd_name]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        if self._lines is None:
            super().format_commands(ctx, formatter)
            return
        with formatter.section("Commands"):
            formatter.write_dl(sorted(self._lines.items()))


def program(command: click.Command, name: str) -> None:
    """Run a command line; an exception that no command foresaw is a bug and leaves with 70.

    The traceback is printed without local variables, so no secret can be in it.
    """
    try:
        command(prog_name=name)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a traceback for the report, and the bug's exit code
        if isinstance(error, OSError) and error.errno in _FULL and _is_of_printing(error):
            _leave_full_output(full_disk(error))
        import traceback

        traceback.print_exc()
        sys.exit(int(Exit.BUG))


def _is_of_printing(error: OSError) -> bool:
    """Tell whether printing failed, of help too. A second write is no test: a stream forgets what it lost."""
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code is not click.echo.__code__:
        step = step.tb_next
    return step is not None


def failure(error: BridgeError | ConfigError) -> Answer:
    """Word a known error for both formats."""
    if isinstance(error, ConfigError):
        data: dict[str, Any] = {"outcome": "config-error", "where": error.where, "key": error.key, "want": error.want}
        return Answer({**data, "got": repr(error.got)}, f"error: {error}", exit_for(error))
    data = {"outcome": error.outcome, "check_id": error.check_id, "detail": error.detail}
    return Answer(data, f"{error.outcome}: {error.check_id}: {error.detail}", exit_for(error))
