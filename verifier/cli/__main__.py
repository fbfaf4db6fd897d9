"""Entry of the ``verifier`` command: gathers the groups, and turns an exception that no command foresaw into exit code 70."""

from __future__ import annotations

import importlib
import sys
import traceback

import click

from verifier.core.exits import Exit

# name -> module that defines `command` (a click command or group). Imported on use, so that `verifier appraise` does not
# pay for Flask and SQLAlchemy.
_COMMANDS = {
    "serve": "verifier.cli.serve",
    "appraise": "verifier.cli.appraise",
    "explain": "verifier.cli.explain",
    "checks": "verifier.cli.checks",
    "keys": "verifier.cli.keys",
    "policy": "verifier.cli.policy",
    "identity": "verifier.cli.identity",
    "workload": "verifier.cli.workload",
    "enrolment": "verifier.cli.enrolment",
    "store": "verifier.cli.store",
    "collateral": "verifier.cli.collateral",
    "openapi": "verifier.cli.openapi",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="vault-attestation-bridge")
def cli() -> None:
    """Check hardware evidence and issue JWTs that stock Vault trusts.

    Exit codes: 0 done, 1 no, 2 malformed input, 3 cannot decide or not reachable, 64 usage, 70 bug.
    """


def main() -> None:
    """Run the command line; an exception that no command foresaw is a bug and leaves with 70."""
    try:
        cli(prog_name="verifier")
    except Exception:  # noqa: BLE001 - the last line of defence: a traceback for the report, and the bug's exit code
        traceback.print_exc()
        sys.exit(int(Exit.BUG))


if __name__ == "__main__":
    main()
