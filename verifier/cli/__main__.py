"""Entry of the ``verifier`` command: gathers the groups, and turns an exception that no command foresaw into exit code 70."""

from __future__ import annotations

from typing import Final

import click

from verifier.core.console import LazyGroup, program

# Each module defines `command` (a click command or group). It is imported on use, so that `verifier appraise` does not pay for
# Flask and SQLAlchemy.
_COMMANDS: Final = (
    "serve",
    "appraise",
    "explain",
    "checks",
    "keys",
    "policy",
    "identity",
    "workload",
    "enrolment",
    "store",
    "collateral",
    "openapi",
)


@click.command(
    cls=LazyGroup,
    modules={name: f"verifier.cli.{name}" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="vault-attestation-bridge")
def cli() -> None:
    """Check hardware evidence and issue JWTs that stock Vault trusts.

    Exit codes: 0 done, 1 no, 2 malformed input, 3 cannot decide or not reachable, 64 usage, 70 bug.
    """


def main() -> None:
    """Run the command line."""
    program(cli, "verifier")


if __name__ == "__main__":
    main()
