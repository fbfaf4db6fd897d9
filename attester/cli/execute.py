"""``attester exec``: start a command that finds its secrets in its environment or in memory-backed files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from attester.cli.shared import attester_options, explained, output_path, session
from verifier.core.console import Answer, run
from verifier.formats.errors import BridgeError, ConfigError

if TYPE_CHECKING:
    from attester.supervise import Remover
    from attester.vault import Reference

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


@click.command(context_settings={"ignore_unknown_options": False})
@attester_options
@click.option(
    "--env",
    "variables",
    multiple=True,
    metavar="NAME=PATH#KEY",
    help="Put a secret into a variable of the environment.",
)
@click.option("--file", "files", multiple=True, metavar="FILE=PATH#KEY", help="Put a secret into a memory-backed file.")
@click.argument("command_line", metavar="-- COMMAND [ARGUMENT]...", nargs=-1, required=True, type=click.UNPROCESSED)
def command(
    options: dict[str, Any],
    variables: tuple[str, ...],
    files: tuple[str, ...],
    command_line: tuple[str, ...],
    output_format: str,
) -> None:
    """Start COMMAND with secrets from Vault.

    The attester attests, reads the secrets, revokes the Vault token, and becomes COMMAND.

    A file has mode 0600. It must not exist before, and it is removed when COMMAND ends. Signals reach COMMAND. The exit code is
    that of COMMAND.
    """

    def wanted() -> tuple[dict[str, Reference], dict[Path, Reference]]:
        named = dict(_variable(text) for text in variables)
        placed = dict(_file(text) for text in files)
        if len(named) != len(variables) or len(placed) != len(files) or not (named or placed):
            raise ConfigError("command line", "--env, --file", [*variables, *files], "one or more, each name once")
        return named, placed

    def start(remover: Remover | None) -> NoReturn:
        """Attest and become the command; every failure leaves with its exit code."""
        from attester.supervise import become

        try:
            become(command_line, _secrets(options, *wanted(), remover))
        except (BridgeError, ConfigError) as error:
            _fail(output_format, error)

    try:
        _, placed = wanted()
    except ConfigError as error:
        _fail(output_format, error)
    if not placed:
        start(None)
    from attester.supervise import run_supervised

    raise SystemExit(run_supervised(start))


def _fail(output_format: str, error: BridgeError | ConfigError) -> NoReturn:
    answer = explained(error)

    def body() -> Answer:
        return answer

    run(output_format, body)
    raise AssertionError("run leaves the process")


def _split(text: str, option: str) -> tuple[str, Reference]:
    from attester.vault import parse_reference

    name, equals, reference = text.partition("=")
    if not name or not equals:
        raise ConfigError("command line", option, text, "NAME=PATH#KEY")
    return name, parse_reference(reference)


def _variable(text: str) -> tuple[str, Reference]:
    name, reference = _split(text, "--env")
    if _VARIABLE.fullmatch(name) is None:
        raise ConfigError("command line", "--env", name, "a variable's name")
    return name, reference


def _file(text: str) -> tuple[Path, Reference]:
    name, reference = _split(text, "--file")
    return output_path(name, "").absolute(), reference


def _secrets(
    options: dict[str, Any],
    variables: Mapping[str, Reference],
    files: Mapping[Path, Reference],
    remover: Remover | None,
) -> dict[str, str]:
    """Attest, read every secret once, write the files, and return the command's environment."""
    from attester.memfile import write
    from attester.vault import fetch, require_one_segment

    wanted = (*variables.values(), *files.values())
    with session(options) as here:
        require_one_segment(wanted, here.trust.tenant)
        values = fetch(here.attest_once, wanted, here.patience).values
    environment = dict(os.environ)
    for name, reference in variables.items():
        if b"\x00" in values[reference]:
            raise ConfigError("command line", "--env", name, "a secret without NUL bytes; use --file")
        environment[name] = os.fsdecode(values[reference])
    for path, reference in files.items():
        file = write(path, values[reference], replace=False)
        if remover is not None:
            remover.made(file)
    return environment
