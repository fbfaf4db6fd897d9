"""``attester token``: attest, and leave the token where only this user can read it."""

from __future__ import annotations

from typing import Any

import click

from attester.cli.shared import attester_options, deliver, output_path, run_command, session
from verifier.core.console import Answer


@click.command()
@attester_options
@click.option("--out", default="", help="Memory-backed file; - for standard output.  [default: a folder of our own]")
def command(options: dict[str, Any], out: str, output_format: str) -> None:
    """Attest and write the token (a JWT for Vault) to a memory-backed file, 0600. It is not printed."""

    def body() -> Answer:
        path = None if out == "-" else output_path(out, "token.jwt")
        with session(options) as here:
            opened = here.attest()
        facts = {"vault": opened.vault.address, "mount": opened.vault.mount, "role": opened.vault.role}
        return deliver(opened.token.encode(), path, "token", facts)

    run_command(output_format, body)
