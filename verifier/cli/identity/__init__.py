"""``verifier identity``: reference values, listed, computed from artifacts, or read off a machine that is already trusted."""

from __future__ import annotations

import click

from verifier.cli.identity import compute, listing, observed


@click.group("identity")
def command() -> None:
    """Identities: reference values with their origin."""


for _one in (listing.command, compute.command, observed.command):
    command.add_command(_one)
