"""Entry of the ``attester`` command: gathers the commands, and turns an exception that no command foresaw into exit code 70."""

from __future__ import annotations

import importlib
import sys

import click

from verifier.core.exits import Exit

# name -> (module that defines `command`, its line of help). Imported on use; the help is here so that `attester --help`
# imports none of them.
_COMMANDS = {
    "checks": ("attester.cli.checks", "List check ids."),
    "enrol": ("attester.cli.enrol", "Enrol this machine's TPM with the verifier."),
    "evidence": ("attester.cli.evidence", "Print new evidence."),
    "exec": ("attester.cli.execute", "Start a command that gets secrets from Vault."),
    "get": ("attester.cli.get", "Attest, log in to Vault, read one secret."),
    "login": ("attester.cli.login", "Attest, log in to Vault, keep the Vault token in memory."),
    "token": ("attester.cli.token", "Attest, keep the token in memory."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name][0]).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in sorted(_COMMANDS.items())])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vault-attestation-bridge")
def cli() -> None:
    """Prove what this workload is, and get its secrets from Vault.

    Exit codes: 0 done, 1 no, 2 malformed input, 3 cannot decide or not reachable, 64 usage, 70 bug.
    exec ends with the exit code of its command.
    """


def main() -> None:
    """Run the command line; an exception that no command foresaw is a bug and leaves with 70.

    The traceback is printed without local variables, so no secret can be in it.
    """
    try:
        cli(prog_name="attester")
    except Exception:  # noqa: BLE001 - the last line of defence: a traceback for the report, and the bug's exit code
        import traceback

        traceback.print_exc()
        sys.exit(int(Exit.BUG))


if __name__ == "__main__":
    main()
