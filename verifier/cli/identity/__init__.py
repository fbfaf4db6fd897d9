"""``verifier identity``: reference values, listed, computed from artifacts, or read off a machine that is already trusted."""

from __future__ import annotations

import click

from verifier.cli.identity import compute, listing, observed


@click.group("identity")
def command() -> None:
    """List and make identities (reference values)."""


for _one in (listing.command, compute.command, observed.command):
    command.add_command(_one)
