"""``attester token``: attest, and leave the token where only this user can read it."""

from __future__ import annotations

from typing import Any

import click

from attester.cli.shared import OUT_OPTION, answers, deliver, output_path, session
from verifier.core.console import Answer


@click.command()
@answers
@OUT_OPTION
def command(options: dict[str, Any], out: str) -> Answer:
    """Attest and keep the token.

    The token (a JWT for Vault) goes to a memory-backed file with mode 0600. It is printed only with --out -.
    """
    path = None if out == "-" else output_path(out, "token.jwt")
    with session(options) as here:
        opened = here.attest()
    facts = {"vault": opened.vault.address, "mount": opened.vault.mount, "role": opened.vault.role}
    return deliver(opened.token.encode(), path, "token", facts)
