"""Entry of the ``attester`` command: gathers the commands, and turns an exception that no command foresaw into exit code 70."""

from __future__ import annotations

import click

from verifier.core.console import LazyGroup, program

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


@click.command(
    cls=LazyGroup,
    modules={name: module for name, (module, _) in _COMMANDS.items()},
    lines={name: line for name, (_, line) in _COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="vault-attestation-bridge")
def cli() -> None:
    """Prove what this workload is, and get its secrets from Vault.

    Exit codes: 0 done, 1 no, 2 malformed input, 3 cannot decide or not reachable, 64 usage, 70 bug.
    exec ends with the exit code of its command.
    """


def main() -> None:
    """Run the command line."""
    program(cli, "attester")


if __name__ == "__main__":
    main()
